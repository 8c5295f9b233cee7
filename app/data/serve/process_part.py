"""What of a project's connections each of several processes may open: together never more than its pool has."""

from __future__ import annotations

from dataclasses import dataclass

# With fewer a process cannot answer one request while Postgres works for another.
LEAST_CONNECTIONS = 2


@dataclass(frozen=True)
class ProcessPart:
    """One of the processes that serve all projects.

    slot  which one, from 0
    """

    slot: int = 0
    count: int = 1

    def places(self, project_id: str, pool: int) -> list[int]:
        """Return the processes that serve a project: as many as its pool's connections are worth sharing out to.

        They begin at another one for each project, so that small pools are not all at the first.
        """
        first = int(project_id[-8:], 16)
        count = min(self.count, max(1, pool // LEAST_CONNECTIONS))
        return [(first + number) % self.count for number in range(count)]

    def of_pool(self, project_id: str, pool: int) -> int:
        """Return how many connections of a project's pool are this process's; 0: others serve the project."""
        places = self.places(project_id, pool)
        if self.slot not in places:
            return 0
        return pool // len(places) + (places.index(self.slot) < pool % len(places))

    def of_budget(self, connections: int) -> int:
        """Return how many connections to all projects are this process's."""
        return connections // self.count + (self.slot < connections % self.count)
