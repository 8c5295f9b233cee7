"""The checkout on the host: which version it is, another one taken out of git, and its images built."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from config.installation import program_environment
from config.settings import CHECKOUT
from infra import pipeline
from infra.errors import InfraError, Refused
from infra.host import docker_cli
from scripts.stack.stack import API, CODE, IMAGES, NAMES, POSTGRES

if TYPE_CHECKING:
    from scripts.stack.stack import Tell

GIT_SECONDS = 300.0
# By which container it is known what an image's name meant when the installation was started.
STARTED = {
    "app": API,
    "postgres": POSTGRES,
    "pgbouncer": NAMES["pgbouncer"],
    "redis": NAMES["redis"],
    "caddy": NAMES["reverse-proxy"],
    "backup": NAMES["backup"],
}


def version() -> str:
    """Return the version that the checkout is."""
    return str(tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"])


def has_images(name: str) -> bool:
    """Say whether all images of a version are here. Raises Unavailable."""
    return all(docker_cli.image_exists(f"launchdb/{image}:{name}") for image in IMAGES)


def take_out(name: str, tell: Tell) -> str:
    """Let the checkout be a branch, a tag or a release ("0.1.4" is the tag v0.1.4); return its version.

    Raises Refused when it was changed by hand, is no git checkout, or has no such version.
    """
    if _git("status", "--porcelain", "--untracked-files=no"):
        raise Refused(f"the checkout {CHECKOUT} was changed by hand; commit or undo that first")
    try:
        tell("fetching versions")
        _git("fetch", "--tags", "--quiet")
    except InfraError as error:
        tell(f"nothing could be fetched; what is here is used ({str(error).splitlines()[0]})")
    for candidate in (f"origin/{name}", name, f"v{name}"):
        if _knows(candidate):
            _git("checkout", "--quiet", "--detach", candidate)
            tell(f"the checkout is {candidate}, version {version()}")
            return version()
    raise Refused(f"there is no version, tag or branch {name} in {CHECKOUT}")


def build(name: str, tell: Tell) -> None:
    """Build the images of the checkout under a version's name. Raises Refused with the last lines of the build."""
    tell(f"building the images of {name}")
    environment = {**program_environment(), "LAUNCHDB_VERSION": name}
    pipeline.follow([CHECKOUT / "scripts" / "build-images"], tell, env=environment, cwd=CHECKOUT)


def keep(name: str, kept: str) -> None:
    """Let what runs of a version have a second name: the first may have been given to others by now. Raises Refused."""
    # Without Python on the machine, nothing is commanded but by the image `host` of the version that runs.
    for image in (*IMAGES, *(["host"] if docker_cli.image_exists(f"launchdb/host:{name}") else [])):
        docker_cli.docker("tag", started(image) or f"launchdb/{image}:{name}", f"launchdb/{image}:{kept}")


def runs(name: str, image: str = "app") -> bool:
    """Say whether the platform API, or what else is made of an image, was started from this version's.

    Raises Refused, Unavailable.
    """
    tag = f"launchdb/{image}:{name}"
    if not docker_cli.image_exists(tag):
        return False
    return docker_cli.docker("image", "inspect", "--format", "{{.Id}}", tag).strip() == started(image)


def started(image: str) -> str:
    """Return the id of the image that this part of the installation was started from; empty where none is."""
    try:
        return (
            docker_cli.docker("inspect", "--format", "{{.Image}}", STARTED[image]).strip() if image in STARTED else ""
        )
    except Refused:
        return ""


def migrations_of(name: str) -> set[str]:
    """Return which schema migrations a version knows. Raises Refused, Unavailable."""
    listed = docker_cli.in_image(f"launchdb/app:{name}", "ls", f"{CODE}/migrations/platform")
    return {line.removesuffix(".sql") for line in listed.split()}


def postgres_of(name: str) -> str:
    """Return the major version of Postgres in a version's image. Raises Refused, Unavailable."""
    listed = docker_cli.in_image(f"launchdb/postgres:{name}", "ls", "/usr/lib/postgresql")
    return max(re.findall(r"\d+", listed), key=int, default="")


def _knows(name: str) -> bool:
    try:
        return bool(_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"))
    except InfraError:
        return False


def _git(*words: str) -> str:
    argv = ["git", "-c", f"safe.directory={CHECKOUT}", *words]
    return pipeline.run(argv, timeout_seconds=GIT_SECONDS, env=program_environment(), cwd=CHECKOUT).strip()
