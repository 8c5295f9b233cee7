"""A project's container as Docker shows it, and what can be reached from inside: its two sockets and nothing else."""

from __future__ import annotations

import json
import subprocess

import pytest

from config.logging import scrub
from infra.instances.containers import shape
from infra.instances.instances import CreatedBy
from tests.fixtures.containers import new_spec

pytestmark = pytest.mark.docker
BY = CreatedBy(f"job_{'3' * 32}", 5)
# Tries every way out, and says what answered.
PROBE = """
import json, os, pathlib, socket
found = []
for host in ("127.0.0.1", "172.17.0.1", "172.18.0.1", "10.213.250.1", "::1"):
    for port in (22, 53, 80, 443, 2019, 2375, 5432, 6432, 6379, 8000, 9000):
        probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        probe.settimeout(0.2)
        if probe.connect_ex((host, port)) == 0:
            found.append(f"{host}:{port}")
for name in ("launchdb-postgres", "launchdb-platform-api", "example.org"):
    try:
        found.append(socket.gethostbyname(name))
    except OSError:
        pass
sockets = []
for folder, _, files in os.walk("/"):
    if not folder.startswith(("/proc", "/sys")):
        sockets += [f"{folder}/{name}" for name in files if (pathlib.Path(folder) / name).is_socket()]
written = []
for folder in ("/", "/etc", "/etc/launchdb", "/run", "/run/pgbouncer", "/opt", "/usr/bin", "/var/tmp", "/dev/shm"):
    try:
        (pathlib.Path(folder) / "probe").write_text("x")
        written.append(folder)
    except OSError:
        pass
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
interfaces = [name for _, name in socket.if_nameindex()]
print(json.dumps([found, sockets, written, status["CapEff"], status["CapBnd"], status["NoNewPrivs"], interfaces,
                  os.getuid(), dict(os.environ)]))
"""


@pytest.fixture(scope="module")
def spec(made_by_docker):
    made = new_spec()
    made_by_docker.ensure(made, BY)
    yield made
    made_by_docker.remove(made.id)


@pytest.fixture(scope="module")
def shown(dockerd, spec):
    return dockerd.inspect_container(f"postgrest-{spec.id}")


@pytest.fixture(scope="module")
def inside(dockerd, spec, shown):
    python = next(word for word in shown["Config"]["Cmd"] if "python" in word)
    asked = dockerd.exec_create(f"postgrest-{spec.id}", [python, "-c", PROBE])
    found, sockets, written, effective, bounding, no_new, interfaces, uid, environ = json.loads(
        dockerd.exec_start(asked["Id"])
    )
    return {
        "reached": found, "sockets": sockets, "written": written, "effective": effective, "bounding": bounding,
        "no new privileges": no_new, "interfaces": interfaces, "uid": uid, "environ": environ,
    }  # fmt: skip


def test_it_has_no_rights_beyond_its_purpose(shown, contained):
    host = shown["HostConfig"]
    assert shown["Config"]["User"] == "10001:10001"
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Init"]) == (True, False, True)
    assert (host["CapAdd"] or [], host["CapDrop"]) == ([], ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["NetworkMode"], host["PidMode"], host["UTSMode"], host["IpcMode"]) == ("none", "", "", "none")
    assert host["Devices"] in (None, [])
    assert not host["PortBindings"]
    assert host["Memory"] == host["MemorySwap"] == contained.project_memory_mb * 1024 * 1024
    assert host["NanoCpus"] == contained.project_cpus * 1_000_000_000
    assert host["PidsLimit"] == contained.project_pids
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def test_it_sees_its_configuration_its_sockets_and_the_poolers(shown, contained, spec):
    mounts = {(mount["Source"], mount["Destination"], mount["RW"]) for mount in shown["Mounts"]}
    assert mounts == {
        (str(contained.instances_folder / spec.id), "/etc/launchdb", False),
        (str(contained.run_folder / "projects" / spec.id), "/run/launchdb", True),
        (str(contained.run_folder / "pgbouncer"), "/run/pgbouncer", False),
    }
    assert not shown["HostConfig"]["Binds"]


def test_it_bears_whose_it_is_and_who_made_it(shown, contained, spec):
    labels = {name: value for name, value in shown["Config"]["Labels"].items() if name.startswith("launchdb.")}
    made = labels.pop(shape.SPEC)
    assert len(made) == 64
    assert labels == {
        shape.INSTALLATION: shape.installation_label(contained.home),
        shape.PROJECT: spec.id,
        shape.JOB: BY.job,
        shape.FENCE: "5",
    }


def test_nothing_answers_from_inside_but_its_two_sockets(inside):
    assert inside["reached"] == []
    assert inside["interfaces"] == ["lo"]
    assert set(inside["sockets"]) <= {"/run/launchdb/api.sock", "/run/pgbouncer/.s.PGSQL.6432"}


def test_nothing_can_be_written_and_no_right_is_left(inside):
    assert inside["written"] == []
    assert (inside["effective"], inside["bounding"]) == ("0" * 16, "0" * 16)
    assert inside["no new privileges"] == "1"
    assert inside["uid"] == 10001


def test_no_secret_is_shown(dockerd, shown, inside, spec):
    secrets = (spec.jwt_secret, spec.db_uri, spec.db_uri.split(":")[2].split("@")[0])
    top = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    history = json.dumps(dockerd.history(shown["Image"]))
    logged = dockerd.logs(f"postgrest-{spec.id}").decode()
    for text in (json.dumps(shown), json.dumps(inside["environ"]), top, history, logged):
        assert [secret for secret in secrets if secret in text] == []
    assert scrub(logged) == logged


def test_its_log_says_what_it_listens_on(dockerd, spec):
    assert "listening on unix:/run/launchdb/api.sock" in dockerd.logs(f"postgrest-{spec.id}").decode()


def test_its_memory_stays_within_what_the_guide_says(dockerd, spec):
    used = dockerd.stats(f"postgrest-{spec.id}", stream=False, one_shot=False)["memory_stats"]["usage"]
    assert used < 50 * 1024 * 1024


def test_its_socket_is_for_nobody_else(contained, spec):
    path = contained.run_folder / "projects" / spec.id / "api.sock"
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, 10001)
    assert (path.parent.stat().st_mode & 0o777, path.parent.stat().st_uid) == (0o700, 10001)
