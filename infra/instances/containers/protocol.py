"""The handful of verbs that are asked of Docker for project containers, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from infra.instances.instances import CreatedBy

Signal = Literal["USR1", "USR2"]
SIGNALS: tuple[Signal, ...] = ("USR1", "USR2")


@dataclass(frozen=True)
class ProjectContainer:
    """A container that bears the name of a project's, as it was found.

    state      Docker's word: created, running, paused, restarting, removing, exited, dead
    ours       whether name, labels and installation fit; one that is not ours is never touched
    current    whether it was made as it would be made now
    job, fence who made it
    exit_code  of its last end
    """

    project_id: str
    state: str
    ours: bool
    current: bool
    job: str = ""
    fence: int = 0
    exit_code: int = 0


@dataclass(frozen=True)
class ContainerEnd:
    """That a container has ended, was paused or removed. at: nanoseconds since 1970."""

    project_id: str
    at: int


class ContainerProtocol(Protocol):
    """What can be asked. Each raises Unavailable when Docker is away, Refused for what it will never do.

    A verb that changes a container looks first whether it is ours, and does nothing to one that is gone.
    """

    def inspect(self, project_id: str) -> ProjectContainer | None:
        """Return the container of a project's name, whoever made it."""

    def list(self) -> list[ProjectContainer]:
        """List the containers of this installation's projects."""

    def create(self, project_id: str, by: CreatedBy) -> bool:
        """Create the project's container without starting it; say False when its name is taken."""

    def start(self, project_id: str) -> None:
        """Start the container."""

    def stop(self, project_id: str) -> None:
        """Stop the container, in order where it can; it stays until it is removed."""

    def remove(self, project_id: str) -> None:
        """Remove it; its name may be taken a moment longer."""

    def signal(self, project_id: str, name: Signal) -> None:
        """Send it a signal."""

    def log_tail(self, project_id: str) -> str:
        """Return the last lines that it wrote."""

    def wait_for_end(self, after: int, seconds: float) -> ContainerEnd | None:
        """Wait until a container of this installation's projects ends, is paused or removed; None when none does.

        after    later than this, in nanoseconds since 1970 by the machine's clock; what was missed meanwhile is told
        seconds  at most
        """

    def close(self) -> None:
        """Release the connection."""
