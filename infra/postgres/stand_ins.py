"""Roles that a dump names, as they are called where it is restored; for those that are not there, others stand in.

Whoever owns a table may name any role of the server in its rights and policies. When that role goes, the server takes
it out of them. A backup from before still names it: while it is restored another role stands in for the absent one,
and then goes in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from infra.postgres.admin.bounds import WHOLE_DATABASE
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.cluster import Cluster
    from infra.postgres.role_names import ProjectRoles

SQL = statements(__file__)
LABEL = "launchdb:"
MOST = 100


class StandInRoles:
    """Tells what each role is called here. `session` names the run; of: the project that the dump is of."""

    def __init__(self, cluster: Cluster, roles: ProjectRoles, session: str, *, of: str) -> None:
        self._cluster, self._roles, self._session, self._of = cluster, roles, session, of
        self._told: dict[str, str] = {}
        self.stands_for: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Return what the role is called here; one stands in for a role that is not there. Raises Unavailable."""
        if name not in self._told:
            part = name.removeprefix(f"{self._of}_")
            own = f"{self._roles.prefix}_{part}"
            self._told[name] = own if part != name and own in self._roles.all else self._of_others(name)
        return self._told[name]

    def drop(self, database: str) -> list[str]:
        """Remove them, with the rights and policies that name them; return for whom they stood."""
        if self.stands_for:
            with self._cluster.open_in_database(database, self._session, WHOLE_DATABASE) as admin:
                for name in self.stands_for:
                    admin.execute(
                        SQL.take_out.format(role=sql.Identifier(name), owner=sql.Identifier(self._roles.owner))
                    )
            drop_all(self._cluster, self._roles, self._session)
        return [
            f"role {absent}: it is not there any more; rights and policies of its are left out"
            for absent in self.stands_for.values()
        ]

    def _of_others(self, name: str) -> str:
        stand_in = f"{self._roles.restore}_{len(self.stands_for) + 1}"
        with self._cluster.session(self._session) as admin:
            if admin.execute(SQL.exists, {"name": name}).fetchone() or len(self.stands_for) == MOST:
                return name
            admin.execute(
                SQL.make.format(
                    role=sql.Identifier(stand_in),
                    restorer=sql.Identifier(self._roles.restore),
                    label=sql.Literal(f"{LABEL}{self._roles.prefix}"),
                )
            )
        self.stands_for[stand_in] = name
        return stand_in


def drop_all(cluster: Cluster, roles: ProjectRoles, session: str) -> None:
    """Remove every role that stood in for another, from whatever attempt."""
    with cluster.session(session) as admin:
        names = admin.execute(SQL.leftover, {"prefix": roles.restore, "label": f"{LABEL}{roles.prefix}"}).fetchall()
        found = [(name, admin.execute(SQL.depends_on, {"name": name}).fetchall()) for (name,) in names]
    for name, databases in found:
        for (database,) in databases:
            with cluster.open_in_database(database, session, WHOLE_DATABASE) as inside:
                inside.execute(SQL.drop_owned.format(role=sql.Identifier(name)))
        with cluster.session(session) as admin:
            admin.execute(SQL.drop.format(role=sql.Identifier(name)))
