"""The checkout on the host: which version it is, another one taken out of git, and its images built."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.settings import CHECKOUT
from infra.errors import InfraError, Refused
from infra.host import docker_cli
from infra.host.machine import ThisProcess
from scripts.stack.stack import API, CODE, IMAGES, NAMES, POSTGRES

if TYPE_CHECKING:
    from pathlib import Path

    from infra.host.machine import Machine, ShellOutside
    from scripts.stack.stack import Tell

# By which container it is known what an image's name meant when the installation was started.
STARTED = {
    "app": API,
    "postgres": POSTGRES,
    "pgbouncer": NAMES["pgbouncer"],
    "redis": NAMES["redis"],
    "caddy": NAMES["reverse-proxy"],
    "backup": NAMES["backup"],
}


@dataclass(frozen=True)
class Checkout:
    """The program as it lies on the machine, and who runs git and builds there.

    needs  images that it takes here beside those of the services
    """

    folder: Path
    machine: Machine
    needs: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Checkout:
        """Return the checkout that this process runs from."""
        return cls(CHECKOUT, ThisProcess(CHECKOUT))

    @classmethod
    def by_shell(cls, folder: Path, shell: ShellOutside) -> Checkout:
        """Return that checkout, of which this process, in the image of the host commands, sees the files alone."""
        return cls(folder, shell, ("host",))

    def version(self) -> str:
        """Return the version that it is."""
        return str(tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]["version"])

    def commit(self) -> str | None:
        """Return the short name of the commit that it is; None where git does not know."""
        try:
            return self._git("rev-parse", "--short=12", "HEAD")
        except InfraError:
            return None

    def take_out(self, name: str, tell: Tell) -> str:
        """Ensure that it is a branch, a tag or a release ("0.1.4" is the tag v0.1.4); return its version.

        Raises Refused when it was changed by hand, is no git checkout, or has no such version.
        """
        if self._git("status", "--porcelain", "--untracked-files=no"):
            raise Refused(f"the checkout {self.folder} was changed by hand; commit or undo that first")
        try:
            tell("fetching versions")
            self._git("fetch", "--tags", "--quiet")
        except InfraError as error:
            tell(f"nothing could be fetched; what is here is used ({str(error).splitlines()[0]})")
        for candidate in (f"origin/{name}", name, f"v{name}"):
            if self._knows(candidate):
                self._git("checkout", "--quiet", "--detach", candidate)
                tell(f"the checkout is {candidate}, version {self.version()}")
                return self.version()
        raise Refused(f"there is no version, tag or branch {name} in {self.folder}")

    def build(self, name: str, tell: Tell) -> None:
        """Build its images under a version's name. Raises Refused with the last lines of the build."""
        tell(f"building the images of {name}")
        self.machine.follow("env", f"LAUNCHDB_VERSION={name}", f"{self.folder}/scripts/build-images", tell=tell)

    def _knows(self, name: str) -> bool:
        try:
            return bool(self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"))
        except InfraError:
            return False

    def _git(self, *words: str) -> str:
        folder = str(self.folder)
        return self.machine.run("git", "-c", f"safe.directory={folder}", "-C", folder, *words).strip()


def has_images(name: str, *more: str) -> bool:
    """Return whether all images of a version are here, and some more of its. Raises Unavailable."""
    return all(docker_cli.image_exists(f"launchdb/{image}:{name}") for image in (*IMAGES, *more))


def tag_images(name: str, kept: str) -> None:
    """Tag what runs of a version with a second name: the first may have been given to others by now. Raises Refused."""
    # Without Python on the machine, nothing is commanded but by the image `host` of the version that runs.
    for image in (*IMAGES, *(["host"] if docker_cli.image_exists(f"launchdb/host:{name}") else [])):
        docker_cli.run_docker("tag", running_image_id(image) or f"launchdb/{image}:{name}", f"launchdb/{image}:{kept}")


def is_running_version(name: str, image: str = "app") -> bool:
    """Return whether the platform API, or what else is made of an image, was started from this version's.

    Raises Refused, Unavailable.
    """
    tag = f"launchdb/{image}:{name}"
    if not docker_cli.image_exists(tag):
        return False
    return docker_cli.run_docker("image", "inspect", "--format", "{{.Id}}", tag).strip() == running_image_id(image)


def running_image_id(image: str) -> str:
    """Return the id of the image that this part of the installation was started from; empty where none is."""
    try:
        return (
            docker_cli.run_docker("inspect", "--format", "{{.Image}}", STARTED[image]).strip()
            if image in STARTED
            else ""
        )
    except Refused:
        return ""


def migrations_of(name: str) -> set[str]:
    """Return which schema migrations a version knows. Raises Refused, Unavailable."""
    listed = docker_cli.run_in_image(f"launchdb/app:{name}", "ls", f"{CODE}/migrations/platform")
    return {line.removesuffix(".sql") for line in listed.split()}


def postgres_of(name: str) -> str:
    """Return the major version of Postgres in a version's image. Raises Refused, Unavailable."""
    listed = docker_cli.run_in_image(f"launchdb/postgres:{name}", "ls", "/usr/lib/postgresql")
    return max(re.findall(r"\d+", listed), key=int, default="")
