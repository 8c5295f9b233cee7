"""Where a statement of a dump names roles: owners, grants, policies. Nothing else of it is looked at.

pg_dump writes these statements in one way each, and the name of a role stands at their end or before a policy's
expressions; what a body, a comment or a literal says is never taken for one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = rb'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
_DOTTED = _NAME + rb"(?:\." + _NAME + rb")?"
_END = rb"(?: WITH GRANT OPTION)?(?: GRANTED BY (?P<grantor>" + _NAME + rb"))?(?: CASCADE)?\Z"
_PLACES = tuple(
    (head, re.compile(text, re.DOTALL))
    for head, text in (
        (b"ALTER DEFAULT PRIVILEGES ", rb"ALTER DEFAULT PRIVILEGES FOR ROLE (?P<role>" + _NAME + rb").* (?:TO|FROM) "
         rb"(?P<grantee>" + _NAME + rb")" + _END),
        (b"ALTER ", rb"ALTER .+ OWNER TO (?P<role>" + _NAME + rb")\Z"),
        (b"GRANT ", rb"GRANT .+ TO (?P<role>" + _NAME + rb")" + _END),
        (b"REVOKE ", rb"REVOKE .+ FROM (?P<role>" + _NAME + rb")" + _END),
        (b"CREATE POLICY ", rb"CREATE POLICY " + _NAME + rb" ON " + _DOTTED + rb"(?: AS RESTRICTIVE)?(?: FOR [A-Z]+)?"
         rb" TO (?P<role>" + _NAME + rb"(?:, " + _NAME + rb")*)(?: USING | WITH CHECK |\Z)"),
        (b"SET SESSION AUTHORIZATION '", rb"SET SESSION AUTHORIZATION (?P<literal>'(?:[^']|'')+')\Z"),
        (b"SET SESSION AUTHORIZATION ", rb"SET SESSION AUTHORIZATION (?P<role>" + _NAME + rb")\Z"),
    )
)  # fmt: skip
_EACH = re.compile(_NAME)
# Keywords that stand where a role could.
_NOBODY = (b"PUBLIC", b"CURRENT_USER", b"CURRENT_ROLE", b"SESSION_USER", b"DEFAULT")
_KINDS = {
    b"relation": (b"TABLE", b"VIEW", b"MATERIALIZED VIEW", b"SEQUENCE", b"FOREIGN TABLE"),
    b"routine": (b"FUNCTION", b"PROCEDURE", b"AGGREGATE"),
    b"type": (b"TYPE", b"DOMAIN"),
    b"schema": (b"SCHEMA",),
    b"large object": (b"LARGE OBJECT",),
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words}
_WORDS = rb"(?P<kind>" + rb"|".join(_KIND_OF) + rb")"
_RIGHT = rb"[A-Z ]+(?:\(" + _NAME + rb"\))?"
_GIVEN = re.compile(rb"ALTER " + _WORDS + rb" (?P<name>.+) OWNER TO (?P<role>" + _NAME + rb")\Z", re.DOTALL)
_GRANTED = re.compile(
    rb"(?:GRANT|REVOKE)(?: GRANT OPTION FOR)? " + _RIGHT + rb"(?:, ?" + _RIGHT + rb")* ON " + _WORDS + rb" (?P<name>.+)"
    rb" (?:TO|FROM) " + _NAME + _END,
    re.DOTALL,
)  # fmt: skip


def rename_roles(statement: bytes, role: Callable[[str], str]) -> bytes:
    """Return the statement with each role's name as `role` tells it."""
    for head, place in _PLACES:
        if statement.startswith(head) and (found := place.match(statement)):
            return _put(statement, found, role)
    return statement


class ObjectOwners:
    """Whose each thing of a dump is, so that its rights are granted by its owner.

    pg_dump takes for granted that a superuser plays it, in whose place the owner grants. Of a login that is a member
    of many roles the server would take the first that may grant.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], bytes] = {}

    def note_owner(self, statement: bytes) -> None:
        """Take note of the owner that a statement gives something."""
        if statement.startswith(b"ALTER ") and (found := _GIVEN.match(statement)):
            self._known[_KIND_OF[found["kind"]], found["name"]] = found["role"]

    def grant_as_owner(self, statement: bytes) -> bytes:
        """Return a statement so that the owner of what it is about grants."""
        found = _GRANTED.match(statement) if statement.startswith((b"GRANT ", b"REVOKE ")) else None
        owner = self._known.get((_KIND_OF[found["kind"]], found["name"])) if found else None
        return b"SET ROLE " + owner + b"; " + statement + b"; RESET ROLE" if owner else statement


def _put(statement: bytes, found: re.Match[bytes], role: Callable[[str], str]) -> bytes:
    def quoted(name: re.Match[bytes]) -> bytes:
        known = _unquoted(name[0], b'"')
        told = known if name[0] in _NOBODY else role(known)
        return name[0] if told == known else b'"' + told.replace('"', '""').encode() + b'"'

    def literal(text: bytes) -> bytes:
        return b"'" + role(_unquoted(text, b"'")).replace("'", "''").encode() + b"'"

    # From the end, so that the places before stay where they are.
    named = [group for group, text in found.groupdict().items() if text is not None]
    for group in sorted(named, key=found.start, reverse=True):
        start, end = found.span(group)
        text = statement[start:end]
        put = literal(text) if group == "literal" else _EACH.sub(quoted, text)
        statement = statement[:start] + put + statement[end:]
    return statement


def _unquoted(text: bytes, mark: bytes) -> str:
    plain = text[1:-1].replace(mark * 2, mark) if text.startswith(mark) else text
    return plain.decode(errors="surrogateescape")
