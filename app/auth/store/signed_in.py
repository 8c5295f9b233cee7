"""A user and the session that they are signed in by, with all that clients read of both, in one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import sql

from app.auth.store.factors import SQL as FACTORS
from app.auth.store.identities import SQL as IDENTITIES
from app.auth.store.refresh_tokens import Rotation, make_token
from app.auth.store.sessions import SQL as SESSIONS
from app.auth.store.users import SQL as USERS
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.auth.serve.project import AuthProject
    from infra.postgres.database import Transaction

SQL = statements(__file__)
_PREFIX = "session_"
_SUFFIXES = ("_at", "_until", "_after")
_IDS = ("id", "user_id", "factor_id")


@dataclass(frozen=True)
class SignedIn:
    """user: the row, with `identities` and `factors` beside its columns; session: the row, or None without one."""

    user: dict[str, Any]
    session: dict[str, Any] | None


def find(tx: Transaction, user_id: object, session_id: object) -> SignedIn | None:
    """Return a user, and this session if it is theirs; None when there is no such user."""
    row = tx.row(_find(), {"user_id": user_id, "session_id": session_id})
    return None if row is None else _signed_in(row)


def ask(project: AuthProject, user_id: UUID, session_id: UUID | None) -> SignedIn | None:
    """Return what `find` does, by one statement for itself."""
    found = project.ask(_ask(), {"user_id": user_id, "session_id": session_id})
    return None if found is None else _signed_in(_typed(found))


def rotate(project: AuthProject, presented: str, moment: datetime) -> tuple[Rotation, SignedIn | None]:
    """Replace a refresh token, or find out why not; return with it whose it is, all by one statement for itself."""
    settings = project.settings
    values = {
        "presented": presented,
        "fresh": make_token(),
        "moment": moment,
        "reuse": settings.refresh_reuse_seconds,
        "lives": settings.refresh_token_seconds,
        "timebox": settings.session_seconds or None,
        "idle": settings.session_idle_seconds or None,
        "single": settings.single_session,
    }
    said = project.ask(_rotate(), values)
    found = said.pop("found")
    for name in ("user_id", "session_id"):
        said[name] = said[name] and UUID(said[name])
    return Rotation(**said), None if found is None else _signed_in(_typed(found))


def _signed_in(row: dict[str, Any]) -> SignedIn:
    session = {name.removeprefix(_PREFIX): row.pop(name) for name in list(row) if name.startswith(_PREFIX)}
    row["identities"] = [_typed(identity) for identity in row["identities"]]
    row["factors"] = [_typed(factor) for factor in row["factors"]]
    return SignedIn(row, None if session["id"] is None else session)


def _typed(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a row that came as JSON as the driver reads its columns."""
    for name, value in members.items():
        if isinstance(value, str):
            if name.endswith(_SUFFIXES):
                members[name] = datetime.fromisoformat(value)
            elif name.removeprefix(_PREFIX) in _IDS:
                members[name] = UUID(value)
    return members


@cache
def _find(*, rotated: bool = False) -> sql.Composed:
    """Write the statement. rotated: for whom the row `r` of a rotation is, not for whom is given."""
    names = ("user_id", "session_id")
    composed: sql.Composed = SQL.find.format(
        user_columns=USERS.columns,
        identity_columns=IDENTITIES.columns,
        factor_columns=FACTORS.shown,
        amr=SESSIONS.amr,
        **{name: sql.Identifier("r", name) if rotated else sql.Placeholder(name) for name in names},
    )
    return composed


@cache
def _ask() -> sql.Composed:
    composed: sql.Composed = SQL.ask.format(find=_find())
    return composed


@cache
def _rotate() -> sql.Composed:
    composed: sql.Composed = SQL.rotate.format(find=_find(rotated=True))
    return composed
