"""A Docker that takes connections and never answers: each verb ends in time, and says what it waited for."""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

import pytest

from config.settings import load
from infra.errors import Unavailable
from infra.instances.containers import docker as sdk
from infra.instances.containers.shape import ContainerShape
from infra.instances.instances import CreatedBy

PROJECT = "proj_0123456789abcdef"


@pytest.fixture
def hung(monkeypatch):
    """The verbs, asked of a socket on which nobody ever accepts."""
    monkeypatch.setattr(sdk, "SECONDS", 0.3)
    with tempfile.TemporaryDirectory(prefix="ldb-") as name, socket.socket(socket.AF_UNIX) as deaf:
        path = Path(name) / "docker.sock"
        deaf.bind(str(path))
        deaf.listen(64)
        verbs = sdk.Docker(ContainerShape.of(load({"LAUNCHDB_HOME": name}, recall=False)), path)
        yield verbs
        verbs.close()


@pytest.mark.timing
@pytest.mark.parametrize(
    "ask",
    [
        lambda verbs: verbs.list(),
        lambda verbs: verbs.inspect(PROJECT),
        lambda verbs: verbs.create(PROJECT, CreatedBy()),
        lambda verbs: verbs.stop(PROJECT),
        lambda verbs: verbs.log_tail(PROJECT),
    ],
)
def test_a_docker_that_hangs_is_away(hung, ask):
    began = time.monotonic()
    with pytest.raises(Unavailable) as told:
        ask(hung)
    assert told.value.dependency == "docker"
    assert time.monotonic() - began < 2
