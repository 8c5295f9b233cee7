"""Data-API instances: what one has to serve, and the verbs that bring it about whichever way they are run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

# What an instance can be told to read anew.
Part = Literal["schema", "config"]


@dataclass(frozen=True)
class InstanceSpec:
    """What one data API has to serve. `id` names the instance, `project_id` whose it is.

    api_keys         the opaque API keys that are good, `role:hash` each (see infra.secrets.opaque_keys)
    db_uri_before    tried when the server refuses db_uri's password: while that is changed, one of the two is right
    cors_origins     none: any
    rate_per_minute  0: not counted
    transaction_end  whether requests are committed, and whether they may ask otherwise
    session          what a session is given when it begins: where that changes, the open ones are of no use any more
    """

    id: str
    project_id: str
    db_uri: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_role: str
    pool_size: int
    max_rows: int
    schemas: tuple[str, ...] = ("public",)
    cors_origins: tuple[str, ...] = ()
    rate_per_minute: int = 0
    body_bytes: int = 10 * 1024 * 1024
    session: str = ""
    db_uri_before: str = field(default="", repr=False)
    api_keys: tuple[str, ...] = ()
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    aggregates: bool = False
    query_plans: bool = False
    transaction_end: str = "commit"


@dataclass(frozen=True)
class InstanceState:
    """An instance as it is found: whose it is, and the hash of what it was told to serve."""

    id: str
    project_id: str
    spec: str


@dataclass(frozen=True)
class CreatedBy:
    """Who makes an instance: the job and its fence, which a container bears as labels."""

    job: str = ""
    fence: int = 0


class InstanceSnapshot(Protocol):
    """Instances as they were found by one look, so that a sweep asks once for all of them."""

    def fault(self, spec: InstanceSpec) -> str:
        """Return in words why the instance does not serve exactly this spec; nothing when it does."""

    def exists(self, instance_id: str) -> bool:
        """Return whether there is an instance of this name, whatever it serves."""

    def list(self) -> list[InstanceState]:
        """List the instances that bear our label."""

    def ended(self) -> tuple[str, ...]:
        """List the instances of ours of which only what has ended is left."""


class EmptySnapshot:
    """What is known of instances while whoever runs them cannot be asked: nothing that is wrong."""

    def fault(self, spec: InstanceSpec) -> str:
        """Name nothing."""
        del spec
        return ""

    def exists(self, instance_id: str) -> bool:
        """Know of none."""
        del instance_id
        return False

    def list(self) -> list[InstanceState]:
        """Know of none."""
        return []

    def ended(self) -> tuple[str, ...]:
        """Know of none."""
        return ()


class Instances(InstanceSnapshot, Protocol):
    """Verbs that state the wanted end, whichever way instances are run."""

    def snapshot(self) -> InstanceSnapshot:
        """Look at all instances once. Raises Unavailable."""

    def serves(self, spec: InstanceSpec) -> bool:
        """Return whether the instance is there and serves exactly this spec."""

    def ensure(self, spec: InstanceSpec, by: CreatedBy = ...) -> None:
        """Ensure that the instance serves exactly this spec. Raises Unavailable, Refused."""

    def remove(self, instance_id: str, *, missing_ok: bool = True) -> None:
        """Remove the instance. Raises Unavailable."""

    def discard(self, instance_id: str) -> bool:
        """Remove what has ended of an instance, unless it runs by now; say whether anything was. Raises Unavailable."""

    def evict_intruders(self) -> tuple[str, ...]:
        """Remove the instances that write where they have nothing to write; return which. Raises Unavailable."""

    def address(self, instance_id: str) -> str:
        """Return the address that clients reach it at."""

    def reload(self, instance_id: str, part: Part) -> None:
        """Have the instance read its schema or its configuration anew; one that is gone has nothing to read."""

    def needing_reload_signal(self) -> frozenset[str]:
        """Return the ids of running instances that learn of a changed schema by `reload` alone. Raises Unavailable."""

    def wait_for_end(self, after: int, seconds: float) -> tuple[int, str | None]:
        """Wait, so long at most, until an instance ends later than this; return when one did, and which.

        after  nanoseconds since 1970; returned as it is when none does

        Raises Unavailable.
        """

    def close(self) -> None:
        """Close the connection to whoever was asked."""
