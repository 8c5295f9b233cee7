"""Statements that the server would refuse a project's owner, in the words in which they can have it.

Settings of roles and of the database become calls of launchdb.set_role_setting; the publication of realtime tools is
made, empty, where something is to be added to it; roles that are called otherwise here are called so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from infra.postgres.split import parse_statements
from infra.postgres.supabase_sql import platform_roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Reading SQL takes longer than most of it runs: only what may be one of these is read.
_WORTH = re.compile(r"\balter\s+(?:role|user|database)\b|\bsupabase_realtime\b", re.IGNORECASE)
ELSEWHERE = "postgres"  # what the database is called there
EVERY_ROLE = "every_role"
_PARTS = {"anon": "anon", "authenticated": "authenticated", "service": "service_role", "authenticator": "authenticator"}
_PUBLICATION = "supabase_realtime"
_MAKE_PUBLICATION = (
    "DO $launchdb$BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = 'supabase_realtime') THEN "
    "CREATE PUBLICATION supabase_realtime; END IF; END$launchdb$; "
)


@dataclass(frozen=True)
class RewrittenSql:
    """SQL of which some pieces were written anew. pieces: where each began, how long it was, how long it is."""

    text: str
    pieces: tuple[tuple[int, int, int], ...] = ()

    def position(self, position: int | None) -> int | None:
        """Return where a character of the text, counted from 1, is in what was given; in a piece: its beginning."""
        if position is None:
            return None
        moved = 0
        for start, before, now in self.pieces:
            at = position - 1 + moved
            if at < start:
                break
            if at < start + now:
                return start + 1
            moved += before - now
        return position + moved


def rewrite(text: str, database: str) -> RewrittenSql:
    """Return the SQL as a project's owner can have it carried out; what the grammar does not take stays as it is.

    database  the project's, after which its roles are named
    """
    if _WORTH.search(text) is None and platform_roles.MENTION.search(text) is None:
        return RewrittenSql(text)
    written, pieces, end = [], [], 0
    for start, length, anew in _replaced(text, database):
        written += [text[end:start], anew]
        pieces.append((start, length, len(anew)))
        end = start + length
    return RewrittenSql("".join([*written, text[end:]]), tuple(pieces))


def _replaced(text: str, database: str) -> Iterator[tuple[int, int, str]]:
    """Yield what is to be written anew, in order: where it begins, how long it is, and what takes its place."""
    plain = text.encode()
    for statement, node in parse_statements(text):
        lead = len(statement.text) - len(statement.text.lstrip())
        anew = _anew(node, database, statement.text.lstrip())
        if anew is not None:
            yield statement.offset + lead, len(statement.text) - lead, anew
            continue
        for start, length, name in platform_roles.pieces(node, plain, database):
            yield len(plain[:start].decode()), length, name


def _anew(node: Any, database: str, text: str) -> str | None:
    kind = node.WhichOneof("node")
    if kind == "alter_role_set_stmt":
        found = node.alter_role_set_stmt
        role = _role(found.role.rolename, database) if found.HasField("role") else EVERY_ROLE
        return _setting(role, found.setstmt) if found.database in ("", ELSEWHERE, database) else None
    if kind == "alter_database_set_stmt":
        found = node.alter_database_set_stmt
        return _setting(EVERY_ROLE, found.setstmt) if found.dbname in (ELSEWHERE, database) else None
    if kind == "alter_publication_stmt" and node.alter_publication_stmt.pubname == _PUBLICATION:
        return _MAKE_PUBLICATION + text
    return None


def _role(name: str, database: str) -> str | None:
    own = {f"{database}_{part}": plain for part, plain in _PARTS.items()}
    return own.get(name) or (name if name in _PARTS.values() else None)


def _setting(role: str | None, setting: Any) -> str | None:
    kind = setting.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[setting.kind].name
    value: str | None = None
    if kind == "VAR_SET_VALUE":
        value = _value(setting.args)
        if value is None:
            return None
    elif kind not in ("VAR_SET_DEFAULT", "VAR_RESET", "VAR_RESET_ALL"):
        return None
    if role is None:
        return None
    call = sql.SQL("SELECT launchdb.set_role_setting({}, {}, {})")
    return call.format(role, None if kind == "VAR_RESET_ALL" else setting.name, value).as_string(None)


def _value(arguments: Iterable[Any]) -> str | None:
    """Return a setting's value as one text; None for what is no plain constant."""
    texts = []
    for each in arguments:
        constant = each.a_const if each.WhichOneof("node") == "a_const" else None
        which = constant.WhichOneof("val") if constant is not None else None
        if which not in ("sval", "ival", "fval", "boolval"):
            return None
        texts.append(str(getattr(getattr(constant, which), which)))
    return ", ".join(texts) or None
