"""With a real Docker: the command runs in the image that holds it, and the installer in a bare Debian."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess

import pytest

from tests.install import debian
from tests.install.conftest import CHECKOUT, git
from tests.install.debian import docker

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]  # which bring the base
IMAGE = "debian:trixie-slim"


@pytest.fixture
def image():
    """A stand-in for the image of the host commands: it prints what it was called with, and where."""
    tag = f"test-{secrets.token_hex(4)}"
    text = f"""FROM {IMAGE}
ENTRYPOINT ["sh", "-c", "printf '%s|' \\"$@\\"; echo; pwd; id -u; printenv LAUNCHDB_HOME LAUNCHDB_URL LAUNCHDB_HOST_ROOT; ls /host 2>/dev/null | grep -x etc; cat; exit 7", "launchdb"]
"""
    built = docker("build", "--quiet", "--tag", f"launchdb/host:{tag}", "-", feed=text)
    assert built.returncode == 0, built.stderr
    yield tag
    docker("rmi", "--force", f"launchdb/host:{tag}")


@pytest.fixture
def command(server, repository, image, tmp_path):
    """The command of an installation without Python; `.env` says which image."""
    home = tmp_path / "home"
    assert server.install("--git", str(repository), "--home", str(home)).code == 0
    shutil.copytree(server.path(str(home)), home, symlinks=True)
    (home / ".env").write_text(f"DOMAIN=x\nLAUNCHDB_VERSION={image}\n")

    def run(*words, where=tmp_path, **environment):
        return subprocess.run(
            [server.path("usr/local/bin/launchdb"), *words],
            input="typed\n", cwd=where, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        )  # fmt: skip

    return run, home


def test_words_input_folder_and_exit_code_go_through_the_container(command, tmp_path):
    run, home = command
    done = run("projects", "create", 'it\'s a "shop"', "", "$HOME `x`", "--", "two\nlines", LAUNCHDB_URL="https://x")
    words = 'projects|create|it\'s a "shop"||$HOME `x`|--|two\nlines|\n'
    assert done.stdout == f"{words}{tmp_path}\n0\n{home}\nhttps://x\ntyped\n", done.stderr
    assert done.returncode == 7


def test_the_doctor_sees_the_machine_and_nobody_else_does(command):
    run, _ = command
    assert run("doctor", "host").stdout.splitlines()[-3:] == ["/host", "etc", "typed"]
    assert "/host" not in run("status").stdout.splitlines()
    assert run("status", where="/").returncode == 7


def test_an_image_that_is_not_here_is_said_with_what_makes_it(command):
    run, home = command
    (home / ".env").write_text("LAUNCHDB_VERSION=none-such\n")
    done = run("status")
    assert done.returncode == 1
    assert "launchdb/host:none-such is not here" in done.stderr
    assert "scripts/build-images" in done.stderr


def test_folders_of_the_machine_are_there_under_their_names_and_the_image_keeps_its_own(command, tmp_path):
    run, home = command
    configurations = tmp_path / "configurations"
    assert str(configurations) not in run("status").stdout
    done = run("mounts", where=home / "scripts", HOST_CONFIG_DIR=str(configurations))
    assert configurations.is_dir(), "what is made in the container is made here"
    assert f"{home}/scripts\n" in done.stdout
    for folder in ("/opt", "/usr", "/tmp"):
        done = run("status", where=folder)
        assert (done.returncode, done.stdout.splitlines()[1]) == (7, "/tmp" if folder == "/tmp" else "/"), done.stderr


@pytest.fixture
def built(image, tmp_path):
    """What stands in for the build of a repository's images: it gives the stand-in their names, and takes these away."""
    names = ("app", "postgres", "pgbouncer", "redis", "caddy", "backup", "data-api", "host")
    versions = [f"0.0.{secrets.randbelow(10**9)}" for _ in range(2)]
    script = "#!/bin/sh\nset -e\necho built $LAUNCHDB_VERSION\n"
    yield (
        versions,
        script + "".join(f"docker tag launchdb/host:{image} launchdb/{name}:$LAUNCHDB_VERSION\n" for name in names),
    )
    made = [f"{version}{kept}" for version in versions for kept in ("", "-previous")]
    docker("rmi", *(f"launchdb/{name}:{version}" for name in names for version in made))


@pytest.fixture
def running():
    """A Postgres as far as its name goes: one of an installation, or a stand-in."""
    if docker("ps", "--quiet", "--filter", "name=^/?launchdb-postgres$").stdout:
        yield
        return
    made = docker(
        "run", "--detach", "--init", "--network", "none", "--name", "launchdb-postgres", IMAGE, "sleep", "600"
    )
    assert made.returncode == 0, made.stderr
    yield
    docker("rm", "--force", made.stdout.strip())


# A machine has room for one installation: tests/conftest.py has this one come before that of the others.
@pytest.mark.usefixtures("running")
def test_without_python_a_version_is_taken_out_and_built_before_the_image_rolls_to_it(
    server, repository, built, images, tmp_path
):
    """The image that runs says what git and the build are to do; the new one, a stand-in, is what goes on."""
    (older, newer), build = built
    for version in (older, newer):
        (repository / "scripts/build-images").write_text(build)
        (repository / "scripts/build-images").chmod(0o755)
        (repository / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", version)
        git(repository, "tag", f"v{version}")
    for name, tag in images.items():
        docker("tag", tag, f"launchdb/{name}:{older}")
    home = tmp_path / "home"
    assert server.install("--git", str(repository), "--ref", f"v{older}", "--home", str(home)).code == 0
    shutil.copytree(server.path(str(home)), home, symlinks=True)
    given = {
        "LAUNCHDB_RUNTIME": "broker", "LAUNCHDB_VERSION": older, "DOMAIN": "localhost", "LAUNCHDB_TLS": "internal",
        "HOST_SCRIPT_DIR": home / "scripts", "HOST_CONFIG_DIR": home / "postgrest" / "projects",
    }  # fmt: skip
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    (home / ".env").chmod(0o600)

    def run(*words):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return subprocess.run(
            [server.path("usr/local/bin/launchdb"), *words],
            input="", capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path, env=environment,
        )  # fmt: skip

    done = run("update", "9.9.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no version, tag or branch 9.9.9 in {home}" in done.stderr
    assert run("rollback").stderr.endswith("no earlier version is known; name one: launchdb rollback VERSION\n")
    done = run("update", "--json", newer)
    assert done.stdout.splitlines()[0] == f"update|{newer}|--json|", done.stderr
    assert done.returncode == 7, "it is the new image's by then"
    assert f"built {newer}" in done.stderr
    assert newer in (home / "pyproject.toml").read_text()
    assert not json.loads((home / "versions.json").read_text())["begun"], "nothing has changed but the images"
    done = run("update", "--no-backup")
    assert done.stdout.splitlines()[0] == f"update|{newer}|--no-backup|"
    (home / "pyproject.toml").write_text("changed by hand")
    assert "was changed by hand" in run("update", "v9.9.9").stderr
    # Ctrl-C while it is built: what was begun is put back, and nobody goes on.
    git(home, "checkout", "--quiet", f"v{older}", "--force")
    ids = (
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        *(f"launchdb/{name}:{older}" for name in images if name != "postgres"),
    )
    was = docker(*ids).stdout
    script = home / "scripts/build-images"
    # Not a child of the shell: dash loses a signal that comes in the moment between its fork and exec.
    script.write_text(script.read_text() + "echo begun\nexec sleep 100\n")
    with subprocess.Popen(
        [server.path("usr/local/bin/launchdb"), "update"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - as a terminal has it
    ) as stopped:  # fmt: skip
        for line in stopped.stderr:
            if line == "begun\n":
                break
        os.killpg(stopped.pid, signal.SIGINT)
        out, err = stopped.communicate(timeout=60)
    assert (stopped.returncode, out) == (130, ""), err
    assert docker(*ids).stdout == was
    assert not json.loads((home / "versions.json").read_text())["begun"]
    assert docker("ps", "--quiet", "--filter", f"ancestor=launchdb/host:{older}").stdout == ""
    # What runs is kept under another name while its own is built anew.
    git(home, "checkout", "--quiet", f"v{older}", "--force")
    git(home, "checkout", "--quiet", f"v{older}", "--force")
    assert run("update").stdout.splitlines()[0] == f"update|{older}|"
    kept = docker("image", "inspect", "--format", "{{.Id}}", f"launchdb/host:{older}-previous").stdout
    assert kept in was
    assert docker("image", "inspect", "--format", "{{.Id}}", f"launchdb/host:{older}").stdout != kept


KEEPING = """
set -e
printf '#!/bin/sh\\necho overlayfs\\n' >/usr/local/bin/docker && chmod 755 /usr/local/bin/docker
sh /src/scripts/install --without-packages --without-firewall >/dev/null 2>/tmp/said || :
grep -c 'keeps its images by overlayfs; that stays' /tmp/said
cat /etc/docker/daemon.json
"""


def test_a_docker_that_keeps_its_images_otherwise_goes_on_finding_them(tmp_path):
    (tmp_path / "keeping").write_text(KEEPING)
    volumes = [f"--volume={CHECKOUT}:/src:ro", f"--volume={tmp_path / 'keeping'}:/keeping:ro"]
    done = docker("run", "--rm", "--network", "none", *volumes, IMAGE, "sh", "/keeping")
    told, _, daemon = done.stdout.partition("\n")
    assert told == "1", done.stderr
    kept = {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}, "live-restore": True}
    assert json.loads(daemon) == kept


BARE = """
set -e
sh /src/scripts/install --dry-run >/tmp/rehearsal
! command -v docker && ! command -v ufw && ! [ -e /opt/launchdb ]
mkdir -p /etc/docker /opt/launchdb/postgres/init /opt/launchdb/pgbouncer
echo '{"data-root": "/srv/docker"}' >/etc/docker/daemon.json
sh /src/scripts/install >/tmp/first 2>/tmp/first.err || { tail -20 /tmp/first.err; exit 1; }
sh /src/scripts/install >/tmp/second 2>/tmp/second.err
for tool in docker psql htop iotop nc logrotate jq git ufw; do command -v $tool >/dev/null || echo "no $tool"; done
jq -r '."data-root", ."log-opts"."max-size"' /etc/docker/daemon.json
ufw status verbose | tr -s ' '
logrotate --debug /etc/logrotate.d/launchdb-backup 2>&1 | grep -c 'error:' || :
stat -c '%a %u:%g' /opt/launchdb /opt/launchdb/pgbouncer
git -C /opt/launchdb log -1 --format=%s
cat /tmp/second
"""


def made_fit(done: subprocess.CompletedProcess[str]) -> None:
    """What the script above has to have said."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("/srv/docker\n10m\n"), done.stdout
    assert "Status: active" in done.stdout
    assert "Default: deny (incoming), allow (outgoing)" in done.stdout
    for port in (22, 80, 443):
        assert f"{port}/tcp ALLOW IN Anywhere" in done.stdout
    assert "1771 0:10001\n2750 10001:10002\n" in done.stdout
    assert "Nothing had to be changed." in done.stdout


def test_a_bare_debian_is_made_fit_and_a_second_run_changes_nothing(tmp_path):
    """Real packages, a real firewall in the container's own network, a real checkout."""
    made_fit(debian.run(tmp_path, BARE))


@pytest.mark.full
def test_so_is_a_bare_debian_12(tmp_path):
    with debian.made("bookworm") as image:
        made_fit(debian.run(tmp_path, BARE, image=image, suite="bookworm"))
