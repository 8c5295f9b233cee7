"""The verbs, asked of Docker itself. The only place that knows its SDK."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound

from config.logging import scrub
from infra.errors import Refused, Unavailable
from infra.instances.containers import shape
from infra.instances.containers.protocol import SIGNALS, ContainerEnd, ProjectContainer
from infra.sockets import is_listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from infra.instances.containers.protocol import Signal
    from infra.instances.containers.shape import ContainerShape
    from infra.instances.instances import CreatedBy

SECONDS = 10
TAIL_LINES, TAIL_CHARACTERS = 20, 2000
STARTED = "running"
# What Docker calls it when one runs no more.
ENDS = ("die", "destroy", "pause")


class Docker:
    """Docker's own interface at a Unix socket. Connects when it is first asked."""

    def __init__(self, made: ContainerShape, socket: Path) -> None:
        self._shape, self._socket = made, socket
        self._opened: docker.APIClient | None = None
        self._lock = threading.Lock()

    def inspect(self, project_id: str) -> ProjectContainer | None:
        """Return the container of a project's name, whoever made it."""
        found = self._inspected(project_id)
        return None if found is None else self._container(project_id, found, self._image_id())

    def list(self) -> list[ProjectContainer]:
        """List the containers of this installation's projects: one call, and one for the image."""
        label = f"{shape.INSTALLATION}={self._shape.installation}"
        with translate_docker_errors():
            found = self._client().containers(all=True, filters={"label": [label]})
        image = self._image_id()
        listed = []
        for one in found:
            project = (one.get("Labels") or {}).get(shape.PROJECT, "")
            # Labels alone prove nothing: whoever may start a container may label it.
            if f"/{shape.PREFIX}{project}" in (one.get("Names") or []) and shape.is_project_id(project):
                listed.append(self._of_list(project, one, image))
        return listed

    def create(self, project_id: str, by: CreatedBy) -> bool:
        """Create the project's container without starting it; say False when its name is taken."""
        image = self._image_id()
        if not image:
            raise Refused(f"the image {self._shape.image} is not here; build or pull it")
        body = self._shape.body(project_id, image, by)
        try:
            with translate_docker_errors():
                self._client().create_container_from_config(body, shape.container_name(project_id))
        except _Conflict:
            return False
        return True

    def start(self, project_id: str) -> None:
        """Start the container."""
        found = self._own(project_id)
        if found is None:
            raise Unavailable("the container is gone")
        with translate_docker_errors():
            if found["State"]["Status"] == "paused":
                self._client().unpause(found["Id"])
            else:
                self._client().start(found["Id"])

    def stop(self, project_id: str) -> None:
        """Stop the container, in order where it can; it stays until it is removed."""
        found = self._own(project_id)
        if found is None:
            return
        with translate_docker_errors(), _gone_is_fine():
            if found["State"]["Status"] == "paused":
                self._client().unpause(found["Id"])
            self._client().stop(found["Id"], timeout=shape.STOP_SECONDS)

    def remove(self, project_id: str) -> None:
        """Remove it; its name may be taken a moment longer."""
        found = self._own(project_id)
        if found is None:
            return
        try:
            with translate_docker_errors(), _gone_is_fine():
                self._client().remove_container(found["Id"], v=True, force=True)
        except _Conflict:
            return  # somebody is removing it already

    def signal(self, project_id: str, name: Signal) -> None:
        """Send it a signal."""
        if name not in SIGNALS:
            raise Refused("only USR1 and USR2 are sent")
        found = self._own(project_id)
        if found is None or found["State"]["Status"] != STARTED:
            raise Unavailable("the container does not run")
        with translate_docker_errors():
            self._client().kill(found["Id"], f"SIG{name}")

    def log_tail(self, project_id: str) -> str:
        """Return the last lines that it wrote, without secrets."""
        found = self._own(project_id)
        if found is None:
            return ""
        with translate_docker_errors():
            said = self._client().logs(found["Id"], tail=TAIL_LINES)
        return scrub(said.decode("utf-8", "replace"))[-TAIL_CHARACTERS:].strip()

    def wait_for_end(self, after: int, seconds: float) -> ContainerEnd | None:
        """Wait until a container of this installation's projects ends, is paused or removed; None when none does."""
        label = f"{shape.INSTALLATION}={self._shape.installation}"
        with translate_docker_errors():
            stream = self._client().events(
                since=_stamp(after + 1),
                until=_stamp(time.time_ns() + round(seconds * 1e9)),
                filters={"type": ["container"], "event": list(ENDS), "label": [label]},
                decode=True,
            )
            try:
                return next(filter(None, map(_end, stream)), None)
            finally:
                stream.close()

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _client(self) -> docker.APIClient:
        # Asked first: of a connection that is refused, the SDK leaves a socket open.
        if not is_listening(self._socket):
            raise Unavailable(f"Docker does not answer at {self._socket}", dependency="docker")
        with self._lock:
            if self._opened is None:
                # The version is agreed upon: old engines lack new ones, new engines refuse old ones.
                self._opened = docker.APIClient(f"unix://{self._socket}", version="auto", timeout=SECONDS)
            return self._opened

    def _inspected(self, project_id: str) -> dict[str, Any] | None:
        name = shape.container_name(project_id)
        try:
            with translate_docker_errors():
                found: dict[str, Any] = self._client().inspect_container(name)
        except _Missing:
            return None
        # Docker also finds containers by the beginning of their id.
        return found if found.get("Name") == f"/{name}" else None

    def _own(self, project_id: str) -> dict[str, Any] | None:
        """Return the container if it is there. Raises Refused when it is somebody else's."""
        found = self._inspected(project_id)
        if found is not None and not self._fits(project_id, found["Config"].get("Labels")):
            raise Refused(f"the container {shape.container_name(project_id)} is not ours; it is left alone")
        return found

    def _fits(self, project_id: str, labels: Mapping[str, str] | None) -> bool:
        return self._shape.labels(project_id).items() <= (labels or {}).items()

    def _image_id(self) -> str:
        try:
            with translate_docker_errors():
                return str(self._client().inspect_image(self._shape.image)["Id"])
        except _Missing:
            return ""

    def _container(self, project_id: str, found: dict[str, Any], image: str) -> ProjectContainer:
        state, labels = found["State"], found["Config"].get("Labels") or {}
        return ProjectContainer(
            project_id,
            state["Status"],
            ours=self._fits(project_id, labels),
            current=self._is_current(project_id, labels, image),
            exit_code=int(state.get("ExitCode") or 0),
            **_maker(labels),
        )

    def _of_list(self, project_id: str, found: dict[str, Any], image: str) -> ProjectContainer:
        labels = found["Labels"]
        current = self._is_current(project_id, labels, image)
        return ProjectContainer(project_id, found["State"], ours=True, current=current, **_maker(labels))

    def _is_current(self, project_id: str, labels: Mapping[str, str], image: str) -> bool:
        # While the image is missing none could be made anew: what runs is kept.
        return not image or labels.get(shape.SPEC) == self._shape.spec(project_id, image)


def _stamp(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def _end(event: Mapping[str, Any]) -> ContainerEnd | None:
    said = event["Actor"]["Attributes"]
    project = said.get(shape.PROJECT, "")
    # As in a list: labels alone prove nothing.
    fits = shape.is_project_id(project) and said.get("name") == shape.PREFIX + project
    return ContainerEnd(project, int(event["timeNano"])) if fits else None


class _Missing(Unavailable):
    """There is no such container or image."""


class _Conflict(Unavailable):
    """The name is taken, or somebody is at it."""


@contextmanager
def translate_docker_errors() -> Iterator[None]:
    """Turn what the SDK raises into ours. Raises Unavailable, Refused."""
    try:
        yield
    except NotFound as error:
        raise _Missing(_said(error)) from error
    except APIError as error:
        status = error.response.status_code if error.response is not None else 500
        if status == 409:
            raise _Conflict(_said(error)) from error
        if status < 500:
            raise Refused(_said(error)) from error
        raise Unavailable(_said(error)) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"Docker cannot be reached ({type(error).__name__})", dependency="docker") from error


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NotFound:
        return


def _said(error: APIError) -> str:
    return f"Docker: {scrub(str(error.explanation or error))[:500]}"


def _maker(labels: Mapping[str, str]) -> dict[str, Any]:
    fence = labels.get(shape.FENCE, "")
    return {"job": labels.get(shape.JOB, ""), "fence": int(fence) if fence.isascii() and fence.isdigit() else 0}
