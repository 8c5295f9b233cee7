"""A worker killed while Docker makes or removes a container, or while the pooler takes in its files: the next one ends it."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager, suppress

import pytest
from psycopg.conninfo import conninfo_to_dict

from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.provision import ProvisionProject
from tests.containers.test_crash import (
    containers,
    environment,
    infra,
    left,
    pooled_settings,
    project,
    settings,
)
from tests.crash.attempts import Attempt
from tests.crash.carrying import due_now, installation, mark_deleting, pass_on, run_here, status, steps, write
from tests.fixtures.containers import DOCKER_SOCKET
from tests.fixtures.cut import line_to
from tests.fixtures.servers import wait_until

__all__ = ["infra", "installation", "pooled_settings", "project", "settings"]
pytestmark = [pytest.mark.docker, pytest.mark.gpg]
CREATE, START, REMOVE = (
    rb"POST \S+/containers/create",
    rb"POST \S+/containers/\S+/start",
    rb"DELETE \S+/containers/",
)


@contextmanager
def docker_line(path, request: bytes):
    """Stand before Docker; when a request of that form has been passed on, `struck` is called before its answer."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(16)
    opened: list[socket.socket] = []
    told = {"seen": threading.Event(), "strike": lambda: None}

    def pump(source, target, *, look: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                if look and not told["seen"].is_set() and re.match(request, data):
                    told["strike"]()
                    told["seen"].set()
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                docker = socket.socket(socket.AF_UNIX)
                opened.extend((client, docker))
                docker.connect(DOCKER_SOCKET)
                threading.Thread(target=pump, args=(client, docker), kwargs={"look": True}, daemon=True).start()
                threading.Thread(target=pump, args=(docker, client), kwargs={"look": False}, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield told
    finally:
        for each in (listening, *opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        path.unlink(missing_ok=True)


def begun(infra, project, kind):
    """Write the job; a project that is to be deleted has been made before."""
    if kind is DeleteProject:
        run_here(infra, write(infra, ProvisionProject(project)))
        mark_deleting(infra, project)
    return write(infra, kind(project))


def carried_on(dockerd, infra, project, job) -> None:
    """Have another worker end the job; look at what there is by then."""
    pass_on(infra)
    run_here(infra, job)
    assert set(steps(infra, job).values()) == {"succeeded"}
    if job.kind == ProvisionProject.kind.name:
        assert (status(infra, project), containers(dockerd, project)) == ("active", ["running"])
        assert [entry.database for entry in infra.pooler.served()] == [project]
    else:
        assert (status(infra, project), left(dockerd, infra, project)) == ("deleted", [])


@pytest.mark.parametrize(
    ("kind", "request_line"),
    [
        pytest.param(ProvisionProject, CREATE, id="create"),
        pytest.param(ProvisionProject, START, id="start"),
        pytest.param(DeleteProject, REMOVE, id="remove"),
    ],
)
def test_a_worker_killed_while_docker_acts(kind, request_line, dockerd, installation, project):
    job = begun(installation, project, kind)
    path = installation.settings.home / "docker-line.sock"
    with docker_line(path, request_line) as told:
        more = {**environment(installation.settings), "LAUNCHDB_DOCKER_SOCKET": str(path)}
        for _ in range(4):  # while others keep Docker busy, an attempt may end before that, and is made again
            attempt = Attempt(installation.settings, **more)
            told["strike"] = attempt.kill
            wait_until(lambda: told["seen"].is_set() or not attempt.runs, 120)  # noqa: B023 - within its turn
            attempt.wait()
            if told["seen"].is_set():
                break
            due_now(installation, job.id)
        assert told["seen"].is_set(), "Docker was not asked for it"
    carried_on(dockerd, installation, project, job)


@pytest.mark.parametrize(("kind", "said"), [(ProvisionProject, "RELOAD"), (DeleteProject, "RELOAD")])
def test_a_worker_killed_while_the_pooler_takes_in_its_files(kind, said, dockerd, installation, project):
    job = begun(installation, project, kind)
    url = installation.settings.pooler_url
    with line_to(url) as (line, through):
        port = conninfo_to_dict(through)["port"]
        more = {**environment(installation.settings), "LAUNCHDB_POOLER_URL": re.sub(r":\d+/", f":{port}/", url)}
        line.on = said
        attempt = Attempt(installation.settings, **more)
        line.strike = lambda _act: attempt.kill()
        wait_until(lambda: line.struck_to_the_end or not attempt.runs, 120)
        attempt.wait()
        assert line.struck is not None, f"the pooler was not told to {said}"
    carried_on(dockerd, installation, project, job)
