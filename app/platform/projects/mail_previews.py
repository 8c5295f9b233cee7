"""Previews of the letters that a project's Auth writes: as set, or as they would be with other templates."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.http.answers import ResponseBody
from app.http.models import RequestBody
from app.http.routing import Call, Routes, ViewResponse
from catalog import projects, settings
from catalog.mail_templates import rendering
from catalog.settings_model import MailTemplates

routes = Routes("mail-templates")
# As settings name them.
PreviewKind = Literal["confirmation", "recovery", "magicLink", "invite", "emailChange", "reauthentication"]
_NAMES = {str(field.alias): name for name, field in MailTemplates.model_fields.items()}
_VERIFY = {
    "confirmation": "signup", "recovery": "recovery", "magicLink": "magiclink", "invite": "invite",
    "emailChange": "email_change",
}  # fmt: skip


class MailPreview(RequestBody):
    """A letter that is to be shown.

    mailTemplates  to be tried instead of those that are set, in the form of the setting; null: the built-in one
    data           the metadata of the user who would get it
    """

    kind: PreviewKind
    mail_templates: MailTemplates | None = None
    data: dict[str, Any] = Field(default_factory=dict, max_length=100)


class MailPreviewOut(ResponseBody):
    """A letter as it would be written. text: for readers without HTML."""

    kind: PreviewKind
    subject: str
    html: str
    text: str


@routes.route(
    "POST", "/api/projects/<project_id>/mail-templates/preview", who="owner", body=MailPreview, scope="read",
    answers={200: MailPreviewOut},
)  # fmt: skip
def preview(call: Call, project_id: str) -> ViewResponse:
    """Shows a letter as it would be written, of the templates that are set or of what is to be tried."""
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        kept = settings.read(tx, project.id)
    known = settings.effective(kept.settings, call.world.settings)
    kind: PreviewKind = call.body.kind
    name = _NAMES[kind]
    tried: MailTemplates | None = call.body.mail_templates
    chosen = tried if tried is not None and name in tried.model_fields_set else known.mail_templates
    values = _sample(f"{call.world.settings.base_url}/project/{project.id}", known.site_url, kind, call.body.data)
    mail = rendering.render(name, getattr(chosen, name), values)  # type: ignore[arg-type] # the model's own names
    return ViewResponse({"kind": kind, "subject": mail.subject, "html": mail.html, "text": mail.text})


def _sample(url: str, site_url: str, kind: str, data: dict[str, Any]) -> dict[str, object]:
    site, token_hash = site_url or "https://app.example.org", "0123456789abcdef" * 3 + "01234567"
    verify = f"{url}/auth/v1/verify?token={token_hash}&type={_VERIFY.get(kind, '')}&redirect_to={site}"
    return {
        "ConfirmationURL": verify if kind in _VERIFY else "",
        "Token": "123456",
        "TokenHash": token_hash,
        "SiteURL": site,
        "RedirectTo": site,
        "Email": "ann@example.org",
        "NewEmail": "ann.new@example.org" if kind == "emailChange" else "",
        "Data": data,
    }
