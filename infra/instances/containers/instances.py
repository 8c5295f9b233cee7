"""Data-API instances in a container each: looked for, adopted, replaced or refused; then asked until they answer."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.errors import Refused, Unavailable
from infra.instances.containers import health, shape
from infra.instances.instances import CreatedBy, InstanceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.instances.containers.protocol import ContainerProtocol, ProjectContainer
    from infra.instances.folders import InstanceFolders, SocketFolders
    from infra.instances.instances import InstanceSpec, Part

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.05
READY_SECONDS = 30.0  # until it runs and answers
GONE_SECONDS = 20.0  # until its name is free
# One that ran already answers at once, or hangs; one that was told of another configuration has read it by then.
PATIENCE_SECONDS = 10.0
DIED = ("exited", "dead", "restarting")


@dataclass(frozen=True)
class ContainerSnapshot:
    """Containers, sockets and folders as one look found them."""

    containers: dict[str, ProjectContainer]
    configurations: InstanceFolders
    sockets: SocketFolders

    def fault(self, spec: InstanceSpec) -> str:
        """Return why no container made as it would be now runs with this configuration; nothing when one does."""
        found = self.containers.get(spec.id)
        if found is None:
            return "its container is missing" if self.configurations.exists(spec.id) else "it is missing"
        if not found.current:
            return "its container is not as it would be made now"
        if found.state != "running":
            return f"its container is {found.state}"
        return self.configurations.fault(spec) or ("" if self.sockets.answers(spec.id) else "its socket is missing")

    def exists(self, instance_id: str) -> bool:
        """Return whether there is a container or a configuration of this name."""
        return instance_id in self.containers or self.configurations.exists(instance_id)

    def list(self) -> list[InstanceState]:
        """List the configurations that bear our label, and the containers that have none."""
        found = self.configurations.list()
        bare = sorted(self.containers.keys() - {one.id for one in found})
        return found + [InstanceState(project, project, "") for project in bare]

    def ended(self) -> tuple[str, ...]:
        """List the containers that have ended, or were never started."""
        return tuple(sorted(one.project_id for one in self.containers.values() if _has_ended(one)))


class ContainerInstances:
    """The verbs of instances, by verbs for containers, whoever carries those out."""

    def __init__(
        self,
        verbs: ContainerProtocol,
        configurations: InstanceFolders,
        sockets: SocketFolders,
        *,
        sees_changes: bool = True,
    ) -> None:
        self._verbs, self._configurations, self._sockets = verbs, configurations, sockets
        self._sees_changes = sees_changes  # our own data API compares the schema's stamp with each request
        self.address, self.close = configurations.address, verbs.close

    def snapshot(self) -> ContainerSnapshot:
        """Look at all containers with one call. Raises Unavailable."""
        return self._sight(self._verbs.list())

    def serves(self, spec: InstanceSpec) -> bool:
        """Return whether the container runs as it should, with exactly this configuration. Raises Unavailable."""
        return not self.fault(spec)

    def fault(self, spec: InstanceSpec) -> str:
        """Return in words why it does not; nothing when it does. Raises Unavailable."""
        return self._sight_of(spec.id).fault(spec)

    def exists(self, instance_id: str) -> bool:
        """Return whether there is a container of ours or a configuration of this name. Raises Unavailable."""
        return self._sight_of(instance_id).exists(instance_id)

    def list(self) -> list[InstanceState]:
        """List the configurations that bear our label, and the containers that have none. Raises Unavailable."""
        return self.snapshot().list()

    def ended(self) -> tuple[str, ...]:
        """List the containers that have ended, or were never started. Raises Unavailable."""
        return self.snapshot().ended()

    def ensure(self, spec: InstanceSpec, by: CreatedBy = CreatedBy()) -> None:  # noqa: B008 - frozen
        """Ensure that a container serves exactly this spec, and answers. Raises Unavailable, Refused."""
        self._configurations.write(spec)
        self._sockets.make(spec.id)
        deadline = time.monotonic() + READY_SECONDS
        ran = self._run(spec.id, by, deadline)
        self._ask(spec, deadline, ran=ran)

    def remove(self, instance_id: str, *, missing_ok: bool = True) -> None:
        """Remove container, socket and configuration; the configuration last. Raises Unavailable."""
        if not missing_ok and not self.exists(instance_id):
            raise FileNotFoundError(instance_id)
        found = self._verbs.inspect(instance_id)
        if found is not None and found.ours:
            self._remove(instance_id)
        elif found is not None:
            log.warning("a container that is not ours bears a project's name", extra={"project_id": instance_id})
        self._sockets.remove(instance_id)
        self._configurations.remove(instance_id)

    def discard(self, instance_id: str) -> bool:
        """Remove a container of ours that has ended, if it still has; say whether. Raises Unavailable."""
        found = self._verbs.inspect(instance_id)
        if found is None or not found.ours or not _has_ended(found):
            return False
        self._remove(instance_id)
        return True

    def evict_intruders(self) -> tuple[str, ...]:
        """Remove the containers that have laid something of their own beside their sockets, with all of that.

        Return the projects. Raises Unavailable.
        """
        found = self._sockets.littered()
        for project in found:
            # In order is not how it is asked: it would have the time of its grace.
            self._verbs.remove(project)
            self._sockets.remove(project)
        return tuple(found)

    def reload(self, instance_id: str, part: Part) -> None:
        """Have the container read its schema or its configuration anew. Raises Unavailable."""
        self._verbs.signal(instance_id, "USR1" if part == "schema" else "USR2")

    def needing_reload_signal(self) -> frozenset[str]:
        """Return the projects whose containers run and do not see by themselves that a schema has changed."""
        if self._sees_changes:
            return frozenset()
        return frozenset(one.project_id for one in self._verbs.list() if one.state == "running")

    def wait_for_end(self, after: int, seconds: float) -> tuple[int, str | None]:
        """Wait until a container ends, is paused or removed; return when, and whose it was if it does not run again.

        Raises Unavailable.
        """
        end = self._verbs.wait_for_end(after, seconds)
        if end is None:
            return after, None
        found = self._verbs.inspect(end.project_id)
        runs = found is not None and found.ours and found.state in ("running", "restarting")
        return end.at, None if runs else end.project_id

    def _run(self, project: str, by: CreatedBy, deadline: float) -> bool:
        """Ensure that a container runs that is made as it would be now; return whether it did.

        Raises Unavailable, Refused.
        """
        made = afresh = False
        for _ in _until(deadline):
            found = self._verbs.inspect(project)
            if found is None:
                made = self._verbs.create(project, by) or made
            elif not found.ours:
                raise Refused(f"the container {shape.container_name(project)} is not ours; remove or rename it")
            elif found.state in ("running", "restarting") and found.current:
                return not made
            elif found.state == "removing":
                time.sleep(LOOK_SECONDS)
            elif not found.current or found.state == "dead":
                self._remove(project)
            else:
                made, afresh = True, self._start_or_remove(project, last=afresh)
        raise Unavailable(f"the container {shape.container_name(project)} did not come to run in time")

    def _start_or_remove(self, project: str, *, last: bool) -> bool:
        """Start the container; one that Docker cannot start is removed instead, once, and that is said.

        Where Docker was killed while it started one, it can neither start that one nor see that it runs. Nothing is
        lost with it. Raises Unavailable.
        """
        try:
            self._verbs.start(project)
        except Unavailable as error:
            if last or error.dependency is not None:
                raise
            log.warning("a container cannot be started", extra={"project_id": project, "error": str(error)})
            self._remove(project)
            return True
        return False

    def _ask(self, spec: InstanceSpec, deadline: float, *, ran: bool) -> None:
        """Ask until it answers for this configuration; one that ran before is told of it, and failing that restarted.

        Raises Unavailable with the last lines of its log when it died, or does not answer in time.
        """
        path = self._sockets.path(spec.id)
        patience = time.monotonic() + (PATIENCE_SECONDS if ran else READY_SECONDS)
        told, looked = False, time.monotonic()
        for _ in _until(deadline):
            answer = health.ask_health(path)
            now = time.monotonic()
            if answer is not None and self._is_up_to_date(answer, spec, ran=ran):
                return
            if answer is not None and answer.spec is not None and not told:
                self._verbs.signal(spec.id, "USR2")
                told = True
            elif now > patience or (answer is not None and answer.spec is None):
                self._restart(spec.id)
                ran, patience = False, deadline
            elif not ran and answer is None and now - looked > 1:
                looked = now
                self._say_if_it_died(spec.id)
            time.sleep(LOOK_SECONDS)
        raise Unavailable(f"the data API did not answer in time{self._last_words(spec.id)}")

    def _is_up_to_date(self, answer: health.DataApiHealth, spec: InstanceSpec, *, ran: bool) -> bool:
        wanted = self._configurations.hash(spec)
        if answer.spec is not None:
            return answer.spec == wanted
        # Another program than ours does not tell what it serves: it has read the file if it has just begun.
        if not ran:
            self._configurations.remember_taken(spec)
        return not ran or self._configurations.taken_hash(spec.id) == wanted

    def _say_if_it_died(self, project: str) -> None:
        found = self._verbs.inspect(project)
        if found is None or found.state in DIED:
            status = "" if found is None else f" with exit status {found.exit_code}"
            raise Unavailable(f"the data API ended{status}{self._last_words(project)}")

    def _last_words(self, project: str) -> str:
        said = self._verbs.log_tail(project)
        return f"; it said: {said}" if said else ""

    def _restart(self, project: str) -> None:
        self._verbs.stop(project)
        self._verbs.start(project)

    def _remove(self, project: str) -> None:
        """Remove the container, so that its name is free. Raises Unavailable."""
        self._verbs.stop(project)
        self._verbs.remove(project)
        for _ in _until(time.monotonic() + GONE_SECONDS):
            found = self._verbs.inspect(project)
            if found is None or not found.ours:
                return
            time.sleep(LOOK_SECONDS)
        raise Unavailable(f"the container {shape.container_name(project)} is still being removed")

    def _sight_of(self, project: str) -> ContainerSnapshot:
        found = self._verbs.inspect(project)
        return self._sight([found] if found is not None and found.ours else [])

    def _sight(self, found: Iterable[ProjectContainer]) -> ContainerSnapshot:
        return ContainerSnapshot({one.project_id: one for one in found}, self._configurations, self._sockets)


def _has_ended(found: ProjectContainer) -> bool:
    return found.state in ("exited", "dead", "created")


def _until(deadline: float) -> Iterator[None]:
    while time.monotonic() < deadline:
        yield
