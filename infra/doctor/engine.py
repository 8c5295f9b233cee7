"""Docker itself, the containers of the installation, and which image its data APIs run on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from infra.doctor.findings import check, failure, info, ok, warning
from infra.errors import Refused
from infra.host import docker_cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.doctor.findings import Finding
    from infra.doctor.site import Site

DOCKER_LEAST = (20, 10)
LOG_SIZE, LOG_FILES = "10m", "3"
INSTALL = "scripts/install installs it"


@check("host.docker")
def docker_engine(site: Site) -> Iterator[Finding]:
    """Docker is new enough, and the logs of its containers end somewhere."""
    yield _new_enough(docker_cli.version())
    try:
        yield ok(f"Compose {site.compose().version}", "Compose")
    except Refused as error:
        yield failure(str(error), INSTALL, subject="Compose")
    told = docker_cli.info()
    if told.get("Driver") in ("overlay2", "overlayfs"):
        yield ok(f"images are kept by {told['Driver']}", "storage")
    else:
        remedy = 'set "storage-driver": "overlay2" in /etc/docker/daemon.json'
        yield warning(f"images are kept by {told.get('Driver')}", remedy, subject="storage")
    yield from _rotation(site, told)


@check("service.health", mend=lambda site, finding: restart_container(site, finding.subject))
def container_health(site: Site) -> Iterator[Finding]:
    """Every container of the installation runs and is healthy."""
    found = site.containers()
    for name in sorted({f"{site.prefix}{service}" for service in site.services} - {one.name for one in found}):
        yield failure("there is no such container", "start the installation; it makes what is missing", subject=name)
    for one in found:
        if one.state == "running" and one.health in ("healthy", ""):
            yield ok("running" + (" and healthy" if one.health else ""), one.name)
        elif one.health == "starting" and one.state == "running":
            yield info("starting", "look again in a minute", subject=one.name)
        else:
            state = one.health if one.state == "running" else one.state
            said = docker_cli.tail(one.name)
            remedy = f"docker restart {one.name}, or --fix; all it said: docker logs {one.name}"
            yield failure(f"{state}; it said last:\n{said}", remedy, fixable=True, subject=one.name)


@check("data-api.image")
def data_api_image(site: Site) -> Iterator[Finding]:
    """The image that projects' containers are made of is here."""
    named = site.settings.data_api
    whose = "official PostgREST" if named.startswith(("postgrest/", "docker.io/postgrest/")) else "LaunchDB's own"
    if docker_cli.image_exists(named):
        yield ok(f"{whose}: {named}")
    else:
        remedy = "scripts/build-images" if whose.startswith("LaunchDB") else f"docker pull {named}"
        yield failure(f"{whose}: {named} is not on this machine, so no project can be started", remedy)


def restart_container(site: Site, name: str) -> str:
    """Restart one container of the installation, and no other. Raises Refused, Unavailable."""
    if not name.startswith(site.prefix):
        raise Refused(f"{name} is no container of this installation")
    docker_cli.restart(name)
    return f"{name} restarted"


def _new_enough(version: str) -> Finding:
    parts = re.match(r"(\d+)\.(\d+)", version)
    if parts is None or (int(parts[1]), int(parts[2])) < DOCKER_LEAST:
        return failure(f"Docker {version}; {DOCKER_LEAST[0]}.{DOCKER_LEAST[1]} is the least", INSTALL, subject="Docker")
    return ok(f"Docker {version}", "Docker")


def _rotation(site: Site, told: dict[str, Any]) -> Iterator[Finding]:
    """Look at what the daemon was told, and at what containers have of it: only new ones take up a change."""
    remedy = f'"log-driver": "json-file", "log-opts": {{"max-size": "{LOG_SIZE}", "max-file": "{LOG_FILES}"}}'
    remedy = f"scripts/install writes it: {remedy} in /etc/docker/daemon.json; then restart Docker"
    try:
        daemon = json.loads(site.text("etc/docker/daemon.json") or "{}")
    except json.JSONDecodeError as error:
        yield failure(f"/etc/docker/daemon.json is no JSON: {error}", "mend it by hand", subject="logs")
        return
    options = daemon.get("log-opts") or {}
    rotates = told.get("LoggingDriver") in ("json-file", "local") and {"max-size", "max-file"} <= set(options)
    if rotates:
        yield ok(f"logs: {told['LoggingDriver']}, {options['max-size']} x {options['max-file']}", "logs")
    else:
        yield warning(f"logs ({told.get('LoggingDriver')}) grow without end", remedy, subject="logs")
    endless = [one.name for one in site.containers() if not _ends(one.log_driver, one.log_options)]
    if endless:
        again = "remove and create them anew; they were made before the daemon was told"
        yield warning(f"the logs of {', '.join(endless)} grow without end", again, subject="containers' logs")


def _ends(driver: str, options: dict[str, str]) -> bool:
    return driver != "json-file" or "max-size" in options
