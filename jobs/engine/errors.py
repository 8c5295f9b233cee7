"""What a step may raise. Each type says what happens next, not what went wrong.

    JobError
    ├── Retry       the step is tried again after a back-off
    ├── GiveUp      no further attempt: the kind's failure policy begins
    ├── Cancelled   somebody asked for it: the way back begins
    └── LeaseLost   another worker holds the job: stop, touch nothing

infra.errors.Unavailable is treated as Retry and infra.errors.Refused as GiveUp, so steps rarely raise these two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobError(Exception):
    """Base of what the runner understands."""


class Retry(JobError):
    """The step could not be done now; it is tried again, up to the kind's attempts."""


class GiveUp(JobError):
    """The step can never be done; the job fails at once and the kind's failure policy begins.

    facts  what a program wants to know of it: further members of the job's `error`
    """

    def __init__(self, message: str = "", *, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})


class Cancelled(JobError):
    """The job was cancelled and has reached a safe point."""


class HandedBack(JobError):
    """The worker is asked to leave: the lease is given back and the attempt refunded."""


class Parked(JobError):
    """The job waits for its children; the last of them lets it go on."""


class LeaseLost(JobError):
    """Another worker holds this job now. Nothing may be written any more."""


class UnknownKind(JobError):
    """No kind of this name and version is registered here; the job waits for a worker that has it."""
