"""By which server the letters of a project go: its own, at a public address, or the installation's; and from whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from catalog import secrets, settings
from catalog.secrets import SecretMissing
from catalog.settings_model import SECRETS
from infra.mail.mail import SmtpServer
from infra.outbound import addresses

if TYPE_CHECKING:
    from catalog.settings_model import ProjectSettings
    from config.settings import Settings
    from infra.composition import Infra
    from infra.mail.mail import MailTransport
    from infra.postgres.database import Transaction

# A tenant's server that drips its answers holds a worker for so long.
OWN_SERVER_SECONDS = 30.0
TLS = {"starttls": "starttls", "tls": "implicit"}


@dataclass(frozen=True)
class ProjectPost:
    """How a project's letters go. carrier: None where no mail is sent."""

    carrier: MailTransport | None
    sender: str
    sender_name: str = ""


def project_post(tx: Transaction, infra: Infra, project_id: str) -> ProjectPost:
    """Return how the letters of a project go, as it is set now. Raises Refused when its password does not open."""
    chosen = settings.effective(settings.read(tx, project_id).settings, infra.settings)
    if not chosen.smtp_host:
        return ProjectPost(infra.mail, infra.settings.smtp_from, chosen.mail_from_name)
    try:
        password = secrets.read(tx, infra.vault, project_id, SECRETS["smtp_password"])
    except SecretMissing:
        password = ""
    server = SmtpServer(
        _as_set(infra.settings, chosen),
        password=password,
        dial=partial(addresses.connect, allowed=addresses.parse_networks(infra.settings.auth_private_networks)),
        seconds=OWN_SERVER_SECONDS,
    )
    return ProjectPost(server, chosen.mail_from, chosen.mail_from_name)


def _as_set(installation: Settings, chosen: ProjectSettings) -> Settings:
    """Return the installation's settings with a project's own mail server in the place of theirs."""
    return installation.model_copy(
        update={
            "smtp_host": chosen.smtp_host,
            "smtp_port": chosen.smtp_port,
            "smtp_tls": TLS[chosen.smtp_security],
            "smtp_user": chosen.smtp_user,
            "smtp_from": chosen.mail_from,
        }
    )
