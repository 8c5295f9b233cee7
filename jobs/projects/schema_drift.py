"""In what a project differs inside its database; and which databases are worth a look, without opening them all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from catalog import names, templates
from infra.errors import InfraError
from infra.postgres.database import INVALID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.composition import Infra
    from infra.postgres.databases import ServerSurvey

log = logging.getLogger(__name__)
# A database is opened when something was written in it since the last look: no schema changes without a write to the
# catalogue, and the server counts those for each database where one query finds them.
MOST_LOOKS = 100
# One more is opened each time all the same, the longest unseen one: counters may be lost with a crash of the server.
ANYWAY = 1


def wanted_schema(infra: Infra, template: str | None, session: str) -> list[dict[str, Any]] | None:
    """Return what a project of this template has to hold; None when nobody knows (any more). Raises Unavailable."""
    if template is None:
        return None
    with infra.database.autocommit() as tx:
        found = templates.schema_of(tx, template)
    if found is None:
        found = infra.databases.objects.template_objects(template, session)
        if found is not None:
            with infra.database.autocommit() as tx:
                templates.store(tx, template, found)
    return found


def can_be_opened(seen: ServerSurvey, project: str) -> bool:
    """Return whether a project's database is there and can be opened."""
    database = seen.databases.get(names.database(project))
    return database is not None and bool(database["open"]) and database["connections"] != INVALID


class DriftScanner:
    """Which databases a sweeper has opened, and what had been written in them by then."""

    def __init__(self, infra: Infra, session: str) -> None:
        self._infra = infra
        self._session = session
        self._seen: dict[str, int] = {}  # the one looked at last stands last
        self._wanted: dict[str, list[dict[str, Any]] | None] = {}
        self.mistaken: dict[str, list[str]] = {}  # of the databases that the last look went into

    def differences(self, projects: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
        """Look into those databases that may have changed; return in what each of them differs, by project.

        projects  rows with id and template; the others are not looked at
        """
        found: dict[str, list[str]] = {}
        self.mistaken = {}
        rows = {row["id"]: row for row in projects}
        writes = self._infra.databases.objects.write_counts(self._session)
        self._seen = {project: seen for project, seen in self._seen.items() if project in writes}
        for project in self._due([project for project in rows if project in writes], writes):
            objects = self._of(rows[project]["template"])
            if objects is not None:
                try:
                    seen = self._infra.databases.objects.inspect(names.roles(project), objects, self._session)
                except InfraError:  # it is being dropped or closed: the others are looked at all the same
                    log.info("a database could not be opened", extra={"project_id": project})
                    continue
                found[project], self.mistaken[project] = seen.differences, seen.mistaken
            # Counted before the look: what is written meanwhile is seen the next time.
            self._seen.pop(project, None)
            self._seen[project] = writes[project]
        return found

    def _due(self, projects: list[str], writes: dict[str, int]) -> list[str]:
        order = {project: place for place, project in enumerate(self._seen)}
        longest = sorted(projects, key=lambda project: order.get(project, -1))
        changed = [project for project in longest if self._seen.get(project) != writes[project]]
        others = [project for project in longest if self._seen.get(project) == writes[project]]
        return changed[:MOST_LOOKS] + others[:ANYWAY]

    def _of(self, template: str | None) -> list[dict[str, Any]] | None:
        if template is not None and self._wanted.get(template) is None:
            self._wanted[template] = wanted_schema(self._infra, template, self._session)
        return self._wanted.get(template) if template is not None else None
