"""Roles that SQL from elsewhere names as grantees, in policies and as owners, by what plays their part in a project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import sql

from infra.postgres.role_names import ProjectRoles

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whoever runs the SQL there, and whom the dashboard runs it as.
_OWNERS = ("postgres", "supabase_admin", "dashboard_user")
# The logins of services: what is granted to them is theirs to use; nobody gives anything away to them.
_SERVICES = ("supabase_auth_admin", "supabase_storage_admin")
MENTION = re.compile(rf"\b(?:{'|'.join((*_OWNERS, *_SERVICES))})\b", re.IGNORECASE)
_STATEMENTS = frozenset(
    {"grant_stmt", "alter_default_privileges_stmt", "alter_owner_stmt", "alter_table_stmt", "create_policy_stmt",
     "alter_policy_stmt", "create_schema_stmt"}
)  # fmt: skip
_GRANTED_TO = ("grantees", "roles")


def pieces(node: Any, plain: bytes, database: str) -> list[tuple[int, int, str]]:
    """Return where a statement names such a role, in order: its place and length in bytes, and the name to have there.

    node   the grammar's, of a statement of `plain`
    """
    kind = node.WhichOneof("node")
    if kind not in _STATEMENTS:
        return []
    known = _known(database)
    found = []
    for role, field in _role_specs(getattr(node, kind), ""):
        name = role.rolename
        if name in known and (name in _OWNERS or field in _GRANTED_TO):
            written = _written(plain, role.location, name)
            if written is not None:
                found.append((role.location, written, sql.Identifier(known[name]).as_string(None)))
    return sorted(found)


def _known(database: str) -> dict[str, str]:
    roles = ProjectRoles(database)
    services = {"supabase_auth_admin": roles.auth, "supabase_storage_admin": roles.storage}
    return {**dict.fromkeys(_OWNERS, roles.owner), **services}


def _written(plain: bytes, start: int, name: str) -> int | None:
    """Return how many bytes the name takes as it is written; None for a spelling that nobody uses."""
    for spelled in (name.encode(), f'"{name}"'.encode()):
        if plain[start : start + len(spelled)].lower() == spelled:
            return len(spelled)
    return None


def _role_specs(message: Any, field: str) -> Iterator[tuple[Any, str]]:
    """Yield each role that a message names, with the name of the field that holds it."""
    if message.DESCRIPTOR.name == "RoleSpec":
        yield message, field
        return
    for described, value in message.ListFields():
        # A node is but the wrapping of what it holds.
        name = field if message.DESCRIPTOR.name == "Node" else described.name
        if described.message_type is not None:
            for each in (value,) if hasattr(value, "ListFields") else value:
                yield from _role_specs(each, name)
