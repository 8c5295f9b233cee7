"""The broker on its real socket: what it does, and that nothing else can be got out of it, however it is worded."""

from __future__ import annotations

import json
import os
import socket
import stat

import pytest

from config.settings import load
from infra.errors import Refused, Unavailable
from infra.instances.broker_client import BrokerClient, broker_socket
from infra.instances.instances import CreatedBy
from tests.fixtures import containers
from tests.fixtures.containers import new_spec

pytestmark = pytest.mark.docker
PROJECT, JOB = "proj_0123456789abcdef", f"job_{'0' * 32}"
CREATE = f"/projects/{PROJECT}/create"
GOOD = {"job": JOB, "fence": 1}


@pytest.fixture(scope="module")
def place(dockerd):
    """An installation with a broker; its folder of secrets is unreadable garbage and nothing else runs."""
    with containers.installation(dockerd) as settings:
        (settings.home / "secrets").mkdir(mode=0o000)
        with containers.broker(settings):
            yield settings


@pytest.fixture(scope="module")
def before(dockerd, place):
    """What there was before anything was tried."""
    return everything(dockerd)


@pytest.fixture
def unharmed(dockerd, before, place):
    """Nothing came or went, whatever was tried."""
    yield
    assert everything(dockerd) == before


def everything(dockerd):
    mine = [one["Id"] for one in dockerd.containers(all=True) if any("postgrest-" in name for name in one["Names"])]
    return sorted(mine), len(dockerd.volumes()["Volumes"] or [])


def sent(place, raw: bytes) -> tuple[int, dict, bytes]:
    """Send bytes as they are; return status, document and head of the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(broker_socket(place)))
        client.sendall(raw)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < length_of(answer):
            got = client.recv(65536)
            if not got:
                break
            answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else {}, head.lower()


def length_of(answer: bytes) -> int:
    found = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0


def asked(place, path, body=None, *, method="POST", kind="application/json", more=""):
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: broker\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{more}\r\n"
    )
    return sent(place, head.encode() + raw)


def test_it_listens_on_a_socket_of_its_own_account_alone(place):
    found = broker_socket(place).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(broker_socket(place).parent.stat().st_mode) == 0o700
    assert found.st_uid == os.geteuid()


def test_it_starts_and_answers_without_postgres_redis_and_secrets(place):
    status, said, _ = asked(place, "/health", method="GET")
    assert (status, said) == (200, {"status": "ok", "service": "broker"})


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    "path",
    [
        "/v1.41/containers/create?name=x",
        "/containers/create",
        "/v1.41/containers/json",
        "/containers/launchdb-postgres/exec",
        "/exec/0123/start",
        "/build",
        "/images/create",
        "/volumes/create",
        "/networks/create",
        "/_ping",
        "/projects/launchdb-postgres/stop",
        "/projects/launchdb-broker/remove",
        "/projects/proj_0123456789ABCDEF/stop",
        "/projects/proj_0123456789abcde/stop",
        "/projects/proj_0123456789abcdef0/stop",
        "/projects/PROJ_0123456789abcdef/stop",
        "/projects/proj_０123456789abcdef/stop",
        f"/projects/{PROJECT}%0a/stop",
        f"/projects/{PROJECT}/exec",
        f"/projects/{PROJECT}/../launchdb-postgres/stop",
        f"/projects/{PROJECT}/%2e%2e/stop",
        f"/projects/{PROJECT}/kill",
        f"/projects/{PROJECT}/STOP",
        f"/projects/{PROJECT}/stop/",
        f"/projects//{PROJECT}/stop",
        f"//projects/{PROJECT}/stop",
        f"/projects/{PROJECT}/stop?force=1",
        f"/projects/{PROJECT}/create?name=launchdb-postgres",
        f"http://elsewhere/projects/{PROJECT}/stop",
        "/..%2fcontainers/create",
    ],
)
def test_there_is_nothing_at_any_other_path(place, path):
    status, said, head = asked(place, path, {})
    assert status in (400, 404, 405), said
    assert b"application/problem+json" in head


@pytest.mark.parametrize(
    "path", ["/ended/0/16", "/ended/99999999999999999999/1", "/ended/-1/1", "/ended/x/1", "/ended/1"]
)
def test_nobody_waits_longer_for_an_end_than_the_broker_may(place, path):
    status, said, _ = asked(place, path, method="GET")
    assert (status, said["title"]) == (404, "Not Found"), said


def test_whoever_waits_for_an_end_is_told_that_there_was_none(place):
    assert asked(place, "/ended/0/0", method="GET")[:2] == (200, {"ended": None})


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "Image": "debian:trixie-slim"},
        {**GOOD, "HostConfig": {"Privileged": True}},
        {**GOOD, "hostconfig": {"Binds": ["/:/host"]}},
        {**GOOD, "Job": JOB},
        {**GOOD, "JOB": JOB},
        {**GOOD, "name": "launchdb-postgres"},
        {**GOOD, "Labels": {}},
        {**GOOD, "": 1},
        {"job": JOB},
        {"fence": 1},
        {},
        {**GOOD, "fence": True},
        {**GOOD, "fence": "1"},
        {**GOOD, "fence": -1},
        {**GOOD, "fence": 1.0},
        {**GOOD, "job": "job_x"},
        {**GOOD, "job": f"{JOB}\n"},
        {**GOOD, "job": JOB.upper()},
        {**GOOD, "job": [JOB]},
        {**GOOD, "job": {"$gt": ""}},
        {**GOOD, "job": None},
        b"[]",
        b"null",
        b'"job"',
        f'{{"job": "{JOB}", "fence": 1, "fence": 2}}'.encode(),
        f'{{"job": "{JOB}", "job": "{JOB}", "fence": 1}}'.encode(),
        f'{{"job": "{JOB}", "fence": NaN}}'.encode(),
        f'{{"job": "{JOB}", "fence": 1e999}}'.encode(),
        f'{{"job": "{JOB}", "fence": 99999999999999999999}}'.encode(),
        f'{{"job": "{JOB}", "fence": 1}}{{"Image": "x"}}'.encode(),
        b'{"job": "\xff", "fence": 1}',
        b'{"job": ' + b"[" * 400 + b"]" * 400 + b"}",
        b"",
    ],
)
def test_a_body_holds_a_job_and_its_fence_and_nothing_else(place, body):
    status, said, head = asked(place, CREATE, body)
    assert status in (400, 422), said
    assert b"application/problem+json" in head


@pytest.mark.usefixtures("unharmed")
def test_a_body_may_not_be_long(place):
    status, _, head = asked(place, CREATE, {**GOOD, "pad": "x" * 2000})
    assert status == 413
    assert b"application/problem+json" in head


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("coding", ["chunked", "Chunked", "gzip, chunked", "identity", "chunked\r\nContent-Length: 4"])
def test_a_body_may_not_come_in_chunks(place, coding):
    inside = json.dumps(GOOD).encode()
    head = f"POST {CREATE} HTTP/1.1\r\nHost: broker\r\nContent-Type: application/json\r\nTransfer-Encoding: {coding}\r\n\r\n"
    status, _, head = sent(place, head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(inside), inside))
    assert status in (400, 411, 501)
    assert b"application/problem+json" in head


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("text/plain", "", 415),
        ("application/x-www-form-urlencoded", "", 415),
        ("application/json; charset=utf-16", "", 415),
        ("application/json", "Content-Encoding: gzip\r\n", 415),
    ],
)
def test_a_body_is_plain_json(place, kind, more, expected):
    assert asked(place, CREATE, GOOD, kind=kind, more=more)[0] == expected


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "UPGRADE"])
def test_a_verb_has_one_method(place, method):
    status, _, _ = asked(place, CREATE, method=method)
    assert status in (400, 404, 405)


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("name", ["KILL", "TERM", "SIGUSR1", "usr1", "9", 10, "USR1 ", ["USR1"], None])
def test_only_two_signals_are_sent(place, name):
    assert asked(place, f"/projects/{PROJECT}/signal", {"signal": name})[0] == 422


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override: DELETE", "Upgrade: tcp\r\nConnection: Upgrade", "X-Registry-Auth: e30="]
)
def test_headers_change_nothing(place, header):
    status, said, _ = asked(place, "/projects", method="GET", more=f"{header}\r\n")
    assert (status, said) == (200, {"containers": []})


def test_whatever_is_created_is_of_the_one_shape(dockerd, place):
    """The same body as Docker's own implementation makes: told apart by nothing but the labels of job and fence."""
    spec, client = new_spec(), BrokerClient(broker_socket(place))
    for folder in (place.instances_folder / spec.id, place.run_folder / "projects" / spec.id):
        folder.mkdir(parents=True)
    assert client.create(spec.id, CreatedBy(JOB, 1))
    shown = dockerd.inspect_container(f"postgrest-{spec.id}")
    assert (shown["HostConfig"]["NetworkMode"], shown["HostConfig"]["CapDrop"]) == ("none", ["ALL"])
    found = client.inspect(spec.id)
    assert (found.ours, found.current, found.job, found.fence) == (True, True, JOB, 1)
    client.remove(spec.id)
    client.close()


def test_a_container_of_ours_that_is_no_projects_cannot_be_named(dockerd, place):
    """Even when it bears every label of a project."""
    client = BrokerClient(broker_socket(place))
    with pytest.raises(Refused):
        client.stop("launchdb-postgres")
    client.close()


def test_a_docker_that_is_away_is_told_as_such(place):
    home = place.home / "other"
    home.mkdir()
    settings = load({"LAUNCHDB_HOME": str(home), "LAUNCHDB_DOCKER_SOCKET": str(home / "none.sock")}, recall=False)
    with containers.broker(settings):
        client = BrokerClient(broker_socket(settings))
        with pytest.raises(Unavailable) as told:
            client.list()
        client.close()
    assert told.value.dependency == "docker"
    client = BrokerClient(broker_socket(settings))
    with pytest.raises(Unavailable) as told:
        client.list()
    client.close()
    assert told.value.dependency == "docker"
