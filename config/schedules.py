"""What happens by itself unless an operator decides otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DefaultSchedule:
    """A schedule that every installation begins with; the fields are those of the table `schedules`.

    enabled  False keeps a name and a time for a kind that no worker serves yet
    """

    name: str
    kind: str
    cron: str
    timezone: str = "UTC"
    catch_up: str = "latest"
    jitter: int = 0
    overlap: str = "skip"
    enabled: bool = True


# Fires only where there is another machine to copy to.
OFFSITE = "platform.offsite_sync"
DEFAULTS = (
    DefaultSchedule("prune", "platform.prune", "30 1 * * *"),
    DefaultSchedule("vacuum", "fleet.vacuum", "0 3 * * 0"),
    DefaultSchedule("vacuum-platform", "platform.vacuum", "30 3 * * 0"),
    DefaultSchedule("backup", "fleet.backup", "0 2 * * *"),
    DefaultSchedule("verify", "fleet.verify", "0 4 * * 0"),
    DefaultSchedule("retention", "platform.retention", "45 * * * *", catch_up="skip"),
    DefaultSchedule("offsite", OFFSITE, "15 * * * *", catch_up="skip"),
    DefaultSchedule("monitor", "platform.monitor", "*/5 * * * *", catch_up="skip", enabled=False),
)
