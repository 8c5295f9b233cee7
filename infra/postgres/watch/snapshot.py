"""What one look sees: the server's finite things, and every session of a project with what it holds of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from config.settings import Settings

CLIENT, AUTOVACUUM = "client backend", "autovacuum worker"
MIB = 1024 * 1024


@dataclass(frozen=True)
class WatchLimits:
    """How far a project may go. Shares are parts of one.

    grace       seconds between the server's own time-out and ours
    statement   seconds, of a database that says nothing of its own
    idle        the same for a transaction in which nothing happens
    sql         seconds that SQL sent to the platform API may take
    locks       share of the lock table of a project; owner: of all projects of one owner, and of the connections
    queue       share of NOTIFY's queue
    holding     seconds that a transaction is open before it may be taken for what holds the queue up
    autovacuum  seconds that a worker may run functions of a tenant
    memory      bytes that a session has for itself; owner_memory: that all sessions of an owner have
    cpu         processors that a project may use before it steps back behind others; processors: how many there are
    """

    grace: float = 5.0
    statement: float = 120.0
    idle: float = 60.0
    sql: float = 30.0
    locks: float = 0.2
    owner: float = 0.5
    queue: float = 0.1
    holding: float = 5.0
    autovacuum: float = 30.0
    memory: int = 512 * MIB
    owner_memory: int = 1536 * MIB
    cpu: float = 0.5
    processors: int = 2

    @classmethod
    def of(cls, settings: Settings) -> WatchLimits:
        """Read the limits from the settings."""
        return cls(
            grace=settings.watchdog_grace_seconds,
            statement=settings.project_statement_seconds,
            idle=settings.project_idle_transaction_seconds,
            sql=settings.sql_seconds,
            locks=settings.project_locks_percent / 100,
            owner=settings.owner_share_percent / 100,
            queue=settings.notify_queue_percent / 100,
            autovacuum=settings.autovacuum_seconds,
            memory=settings.project_session_mb * MIB,
            owner_memory=settings.owner_sessions_mb * MIB,
            cpu=settings.project_cpu_percent / 100 * len(os.sched_getaffinity(0)),
            processors=len(os.sched_getaffinity(0)),
        )


@dataclass(frozen=True)
class WatchedDatabase:
    """A project's database, with the time-outs that were set on it from outside; None: none were.

    read_only  it is larger than it may be: its sessions begin read-only
    """

    name: str
    statement: float | None = None
    idle: float | None = None
    read_only: bool = False

    @property
    def project(self) -> str:
        """The project whose database it is, or whose it was or is to be."""
        return self.name[:21]


@dataclass(frozen=True)
class Backend:
    """One process of the server that acts for a project. Seconds count up to the look.

    database    its oid
    role        the oid of who has logged in; 0 for a process of the server's own
    login       its name; empty for a process of the server's own
    query       when its statement began: the same statement has the same moment
    idle        for how long it has been in its state
    locks       entries in the server's lock table
    predicates  the same of locks that serializable transactions keep of what they have read
    phase       of an ANALYZE, by Postgres's numbers; None when it does none
    rewrites    whether it packs a table anew (VACUUM FULL, CLUSTER), which takes space to give some back
    memory      bytes that it alone has; 0 when that is not known
    cpu         seconds of a processor that it has used so far; nice: how far it steps back behind others
    """

    pid: int
    started: datetime
    type: str
    database: int
    role: int
    login: str
    project: str
    application: str = ""
    state: str = ""
    wait: str = ""
    activity: str = ""
    query: datetime | None = None
    statement: float = 0.0
    idle: float = 0.0
    transaction: float | None = None
    writes: bool = False
    locks: int = 0
    predicates: int = 0
    phase: int | None = None
    rewrites: bool = False
    memory: int = 0
    cpu: float = 0.0
    nice: int = 0

    @property
    def is_client(self) -> bool:
        """Whether somebody has logged in, and it is not a process of the server's own."""
        return self.type == CLIENT

    @property
    def runs(self) -> bool:
        """Whether a statement runs."""
        return self.state in ("active", "fastpath function call")

    @property
    def is_idle_in_transaction(self) -> bool:
        """Whether a transaction is open in which nothing happens."""
        return self.state.startswith("idle in transaction")

    @property
    def identity(self) -> tuple[int, datetime]:
        """What no other process has, though it may get this one's number."""
        return self.pid, self.started


@dataclass(frozen=True)
class Snapshot:
    """One look.

    backends     sessions of projects' logins, and the server's own processes in their databases
    databases    projects' databases by oid
    owners       who owns each project, as far as that is known
    locks        how many entries the lock table has; predicates: the same for what serializable transactions have read
    connections  how many sessions those may have together that have no reserve of their own
    workers      how many autovacuum workers there are
    growing      oids of the databases that are to be read only, and have grown since the look before
    queue        how full NOTIFY's queue is
    fillers      oids of the databases whose notifications fill it, when it is fuller than it may be
    """

    backends: tuple[Backend, ...]
    databases: Mapping[int, WatchedDatabase] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    locks: int = 1
    predicates: int = 1
    connections: int = 1
    workers: int = 3
    growing: frozenset[int] = frozenset()
    queue: float = 0.0
    fillers: frozenset[int] = frozenset()

    def owner(self, project: str) -> str:
        """Return who owns a project; one whose owner is not known stands for itself."""
        return self.owners.get(project, project)
