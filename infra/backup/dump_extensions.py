"""What a dump says of the schema in which extensions lie that the administrator creates: that one is not the project's.

It is made with the extensions in it. A tenant may have a schema of the same name, which then comes back as theirs: it
is known by the owner that pg_dump gives a schema right after it has created it.
"""

from __future__ import annotations

import re

from infra.postgres.extensions import OF_UNTRUSTED
from infra.postgres.role_names import ProjectRoles

_CREATED = b"CREATE SCHEMA " + OF_UNTRUSTED.encode()
_OWNER = re.compile(rb"ALTER SCHEMA %b OWNER TO (\S+)\Z" % OF_UNTRUSTED.encode())
_RIGHTS = re.compile(rb"(?:GRANT|REVOKE) [A-Z, ]+ ON SCHEMA %b (?:TO|FROM) " % OF_UNTRUSTED.encode())


class AdministratorExtensions:
    """Tells what of one dump is to be played; to be asked of each statement in turn."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._is_ours = False

    def filter(self, statement: bytes) -> list[bytes]:
        """Return what is to be played now: the statement, nothing, or it and what was held back until it came."""
        if statement == _CREATED:
            self._held = [statement]
            return []
        held, self._held = self._held, []
        if held and (owner := _OWNER.match(statement)):
            self._is_ours = not _is_of_project(owner[1].decode(errors="replace").strip('"'))
            if self._is_ours:
                return []
        return [] if self._is_ours and _RIGHTS.match(statement) else [*held, statement]


def _is_of_project(role: str) -> bool:
    return role in ProjectRoles(role.rpartition("_")[0]).all
