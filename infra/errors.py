"""The two ways in which the outside world says no.

InfraError
├── Unavailable   worth another try: it was away, busy or in somebody's way
│   ├── LoginRefused   the password was not taken: it may just be changed
│   └── LockTableFull  somebody holds all locks of the server, until the watchdog ends them
└── Refused       another try would get the same answer
"""

from __future__ import annotations

from infra import exhaustion


class InfraError(Exception):
    """An outside system did not do what was asked. The message is fit for an operator: it holds no secret."""


class Unavailable(InfraError):
    """The system was away, busy or in conflict with somebody else; trying again later may succeed.

    dependency  which system, when it is away as a whole and not only for this caller

    What is raised while a failure is handled that is due to this process's own shortage says that, whatever the message
    was to be: no other system is away. `exhausted` holds what it is.
    """

    def __init__(self, message: str = "", *, dependency: str | None = None) -> None:
        self.exhausted = exhaustion.current_shortage() if type(self) is Unavailable else ""
        super().__init__(self.exhausted or message)
        self.dependency = None if self.exhausted else dependency


class LoginRefused(Unavailable):
    """Postgres did not take a password. While it is rotated, another one is right."""


class LockTableFull(Unavailable):
    """Postgres has no entry left in the lock table that all databases share; nothing of the transaction remains.

    Whoever has taken them all is ended by the watchdog within moments.
    """


class Refused(InfraError):
    """The system understood and declined; trying again changes nothing."""
