"""What of an export is believed, and what is asked before it becomes a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import names, settings
from catalog.ids import is_project_id
from infra.errors import Refused
from infra.postgres.sql import statements
from infra.secrets import signing_keys
from jobs.backup import backups
from jobs.backup.backups import KEYS, is_kept
from jobs.projects import access_keys, api_keys, jwt_import

if TYPE_CHECKING:
    from infra.backup.transfer import ExportHeader
    from infra.composition import Infra

SQL = statements(__file__)


def inspect_export(infra: Infra, file: str, passphrase: str) -> ExportHeader:
    """Return what an export in the imports folder is. Raises Refused, naming why it is not taken."""
    head = backups.store(infra).export_head(infra.settings.imports_folder / file, passphrase)
    check_importable(infra, head)
    return head


def check_importable(infra: Infra, head: ExportHeader) -> None:
    """Raise Refused for an export that is newer than this installation, or that is none."""
    if not is_project_id(head.scope):
        raise Refused("this is no export of a project")
    newest = infra.databases.templates.version
    with infra.database.autocommit() as tx:
        ours = int(tx.value(SQL.server))
    if head.schema > newest:
        raise Refused(f"it was made by a newer version ({head.schema}; this one knows {newest}): update first")
    if int(head.postgres.partition(".")[0]) > ours:
        raise Refused(f"it comes from Postgres {head.postgres}; this server is older ({ours})")
    _check_details(infra, head.scope, head.details)


def _check_details(infra: Infra, scope: str, details: dict[str, Any]) -> None:
    try:
        settings.fitting(details["settings"], infra.settings)
        given = {str(name): str(value) for name, value in details["secrets"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(f"its settings or secrets are not what they should be: {type(error).__name__}") from None
    if not all(is_kept(name) and is_whole(name, value) for name, value in given.items()) or not set(given) >= set(KEYS):
        raise Refused("its secrets are not those of a project")
    if len(given[names.JWT_SECRET]) < jwt_import.SHORTEST:
        raise Refused("its JWT secret is too short")
    for name in (names.ANON_KEY, names.SERVICE_KEY):
        if jwt_import.key_claims(scope, name, given[name], given[names.JWT_SECRET]) is None:
            raise Refused("its API keys are not those of the project")


def is_whole(name: str, value: str) -> bool:
    """Return whether a signing key, an opaque key or an access key is one; of what else there is, others say so."""
    if name == names.SIGNING_KEY:
        return signing_keys.is_signing_key(value)
    if name.startswith(access_keys.PREFIX):
        return access_keys.is_stored_key(name, value)
    return api_keys.is_stored_key(value) if name.startswith(api_keys.PREFIX) else True
