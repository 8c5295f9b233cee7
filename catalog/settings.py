"""Settings of a project: kept sparsely, with a version; what is not kept has its default."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from catalog import secrets
from catalog.settings_model import (
    AUTH,
    INSTALLATION,
    NAME_BY_NAME,
    OUTSIDE,
    SECRET_MAPS,
    SECRETS,
    STORAGE,
    ProjectSettings,
    SettingsChanges,
)
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from pydantic import BaseModel

    from config.settings import Settings
    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

log = logging.getLogger(__name__)
SQL = statements(__file__)
_ALIASES = {name: str(field.alias) for name, field in ProjectSettings.model_fields.items()}
_NOT_KEPT = {*SECRETS, *SECRET_MAPS}


class SettingsRefused(Exception):
    """A setting does not fit the others, or is more than an owner may take; pointer names it."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


@dataclass(frozen=True)
class StoredSettings:
    """What is kept of a project's settings. version 0: nothing was ever set.

    applied_version  the one that its database and data API have been given
    """

    project_id: str
    version: int
    applied_version: int
    settings: dict[str, Any]
    updated_at: datetime | None


@dataclass(frozen=True)
class SettingsChange:
    """What a change came to. outside: a job has to bring it to the database, to the data API or to Auth."""

    kept: StoredSettings
    outside: bool


def read(tx: Transaction, project_id: str) -> StoredSettings:
    """Return what is kept of a project's settings."""
    return tx.one(StoredSettings, SQL.read, {"project": project_id}) or StoredSettings(project_id, 0, 0, {}, None)


def effective(kept: Mapping[str, Any], installation: Settings) -> ProjectSettings:
    """Return every setting: what is kept, and for the rest what the installation or this program gives.

    What another release has kept and this one does not know, or not like that, has its default here, and stays kept.
    """
    chosen = _understood(dict(kept))
    given = {
        name: value for name in chosen.model_fields_set - _NOT_KEPT if (value := getattr(chosen, name)) is not None
    }
    return _defaults(installation).model_copy(update=given)


def _understood(kept: dict[str, Any]) -> BaseModel:
    try:
        return SettingsChanges.model_validate(kept)
    except ValidationError as error:
        strange = {str(fault["loc"][0]) for fault in error.errors(include_url=False, include_input=False)}
        log.warning("settings that this release cannot use", extra={"settings": sorted(strange)})
        return SettingsChanges.model_validate({name: value for name, value in kept.items() if name not in strange})


def as_json(settings: ProjectSettings, only: Collection[str] | None = None) -> dict[str, Any]:
    """Return settings as JSON; with `only` those of them."""
    return settings.model_dump(mode="json", by_alias=True, include=None if only is None else set(only))


def secrets_set(tx: Transaction, project_id: str) -> dict[str, bool]:
    """Return which secret settings are set; of those that hold several, the ones that are, by their whole names."""
    known = {kept.name for kept in secrets.list_info(tx, project_id)}
    several = {
        f"{_alias(member)}.{name.removeprefix(prefix)}": True
        for member, prefix in SECRET_MAPS.items()
        for name in sorted(known)
        if name.startswith(prefix)
    }
    return {**{_alias(member): name in known for member, name in SECRETS.items()}, **several}


def auth_secrets(known: Mapping[str, str]) -> dict[str, str]:
    """Return those of a project's secrets that Auth needs to keep its settings, by the name of each.

    known  all of the project's that are in force
    """
    prefixes = tuple(SECRET_MAPS.values())
    return {name: value for name, value in known.items() if name == "captcha_secret" or name.startswith(prefixes)}


def change(
    tx: Transaction, infra: Infra, kept: StoredSettings, changes: BaseModel, *, bounded: bool, world: bool
) -> SettingsChange:
    """Merge a change into what is kept; null takes a member out. Nothing is written when nothing differs.

    changes  a SettingsChanges
    bounded  hold the change to what the installation gives all projects
    world    whether the project has a database, a data API and an Auth that must be told

    The caller holds the project's row. Raises SettingsRefused.
    """
    installation = infra.settings
    before, wanted = effective(kept.settings, installation), merged(kept.settings, changes)
    after = effective(wanted, installation)
    if bounded:
        _check_bounds(changes, after, installation)
    _check_relations(after)
    secret = _keep_secrets(tx, infra.vault, kept.project_id, changes)
    if wanted == kept.settings and not secret:
        return SettingsChange(kept, outside=False)
    differs = any(getattr(before, name) != getattr(after, name) for name in OUTSIDE | AUTH | STORAGE)
    outside = world and (differs or bool(auth_secrets(secret)))
    values = {"project": kept.project_id, "settings": Jsonb(wanted), "outside": outside}
    written = tx.one(StoredSettings, SQL.write, values)
    if written is None:
        raise RuntimeError("an upsert returned no row")
    return SettingsChange(written, outside)


def fitting(kept: Mapping[str, Any], installation: Settings) -> dict[str, Any]:
    """Return what of settings from elsewhere can be kept here: what is understood, and not beyond what all may have."""
    chosen = _understood(dict(kept))
    left = chosen.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_NOT_KEPT)
    for name in chosen.model_fields_set & set(INSTALLATION):
        value = getattr(chosen, name)
        if value is not None and value > getattr(installation, INSTALLATION[name]):
            left.pop(str(type(chosen).model_fields[name].alias))
    return left


def restore(tx: Transaction, project_id: str, kept: Mapping[str, Any]) -> None:
    """Give a project that is made of a backup the settings of then, unless it has some already."""
    if kept and read(tx, project_id).version == 0:
        tx.one(StoredSettings, SQL.write, {"project": project_id, "settings": Jsonb(dict(kept)), "outside": False})


def merged(kept: Mapping[str, Any], changes: BaseModel) -> dict[str, Any]:
    """Return what is kept after a change: given members replaced, null ones taken out, some of them name by name."""
    given = changes.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_NOT_KEPT)
    wanted = {name: value for name, value in {**kept, **given}.items() if value is not None}
    for member in NAME_BY_NAME:
        if given.get(member) is not None:
            both = {**kept.get(member, {}), **given[member]}
            wanted[member] = {name: value for name, value in both.items() if value is not None}
    return {name: value for name, value in wanted.items() if name not in NAME_BY_NAME or value}


def mark_applying(tx: Transaction, project_id: str) -> None:
    """Note which version a job begins to bring to the project's database and data API."""
    tx.execute(SQL.begin, {"project": project_id})


def mark_applied(tx: Transaction, project_id: str) -> int:
    """Note that the version of `begin_applying` is in force; return the one that is. 0: nothing was ever set."""
    return int(tx.value(SQL.applied, {"project": project_id}) or 0)


def _keep_secrets(tx: Transaction, vault: Vault, project_id: str, changes: BaseModel) -> dict[str, str]:
    """Store or delete what a change names; return what that changed, "" for what is no more."""
    changed = {}
    for name, value in _given_secrets(changes).items():
        if secrets.delete(tx, project_id, name) > 0 or value is not None:
            changed[name] = value or ""
        if value is not None:
            secrets.put(tx, vault, project_id, name, value)
    return changed


def _given_secrets(changes: BaseModel) -> dict[str, str | None]:
    """Return the secrets that a change names; None takes one away."""
    given = {SECRETS[member]: getattr(changes, member) for member in changes.model_fields_set & set(SECRETS)}
    for member in changes.model_fields_set & set(SECRET_MAPS):
        for name, value in (getattr(changes, member) or {}).items():
            given[f"{SECRET_MAPS[member]}{name}"] = value
    return given


def _check_bounds(changes: BaseModel, after: ProjectSettings, installation: Settings) -> None:
    for name in changes.model_fields_set & set(INSTALLATION):
        most = getattr(installation, INSTALLATION[name])
        if getattr(after, name) > most:
            raise SettingsRefused(f"/{_ALIASES[name]}", f"is at most {most} here; an operator may set more")


def _check_relations(after: ProjectSettings) -> None:
    if after.refresh_token_seconds <= after.access_token_seconds:
        raise SettingsRefused("/refreshTokenSeconds", "must be longer than accessTokenSeconds")
    if after.smtp_host and not after.mail_from:
        raise SettingsRefused("/mailFrom", "is needed when smtpHost is set")
    keycloak = after.oauth_providers.get("keycloak")
    if keycloak is not None and not keycloak.issuer:
        raise SettingsRefused("/oauthProviders/keycloak/issuer", "is needed: it has no usual place")


@lru_cache(maxsize=8)
def _defaults(installation: Settings) -> ProjectSettings:
    return ProjectSettings().model_copy(
        update={name: getattr(installation, given) for name, given in INSTALLATION.items()}
    )


def _alias(member: str) -> str:
    return str(SettingsChanges.model_fields[member].alias)
