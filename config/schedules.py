"""What happens by itself unless an operator decides otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Default:
    """A schedule that every installation begins with; the fields are those of the table `schedules`."""

    name: str
    kind: str
    cron: str
    timezone: str = "UTC"
    catch_up: str = "latest"
    jitter: int = 0
    overlap: str = "skip"


DEFAULTS = (
    Default("prune", "platform.prune", "30 1 * * *"),
    Default("vacuum", "fleet.vacuum", "0 3 * * 0"),
)
