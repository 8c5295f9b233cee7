"""An installation in containers, seen from its host: where its home is, and what its `.env` says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from config import surroundings
from config.settings import CHECKOUT, Settings, load

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where the guide puts everything; a checkout in it is an installation of the whole machine.
PLACE = Path("/opt/launchdb")
RUNTIMES = ("docker", "broker")
# What docker and compose read themselves. Everything else that they are told stands in `.env`, and only there.
_PASSED = ("PATH", "HOME", "LANG", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH")
_PASSED_TOO = ("DOCKER_TLS_VERIFY", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME")


def parse(text: str) -> dict[str, str]:
    """Return what a `.env` says: NAME=value, the value to the end of the line, `=`, `/` and `+` included.

    A value may stand in quotes; empty lines and lines that begin with # say nothing.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def read(home: Path) -> dict[str, str]:
    """Return what the home's `.env` says; nothing when there is none, or it may not be read."""
    try:
        # A byte that is no text spoils its own line alone, and nobody is waited for who might write one.
        with os.fdopen(os.open(home / ".env", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), errors="replace") as file:
            return parse(file.read())
    except OSError:
        return {}


def default_home(environ: Mapping[str, str] | None = None) -> Path:
    """Return where an installation in containers keeps its state.

    LAUNCHDB_HOME if it is set; else /opt/launchdb for a checkout that lies there, else a folder in the checkout.
    """
    given = os.environ if environ is None else environ
    if named := given.get("LAUNCHDB_HOME"):
        return Path(named).expanduser().resolve()
    if CHECKOUT == PLACE or PLACE in CHECKOUT.parents:
        return PLACE
    return CHECKOUT / ".launchdb-docker"


def is_containers_home(home: Path) -> bool:
    """Return whether an installation in containers lies there."""
    return read(home).get("LAUNCHDB_RUNTIME") in RUNTIMES


def find_home(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the home of the installation in containers that a host command means; None: an embedded one, or none.

    Inside a container of it the environment says where the database is; there is nothing to look for then.
    """
    given = os.environ if environ is None else environ
    if given.get("LAUNCHDB_DATABASE_URL"):
        return None
    home = default_home(given)
    if not given.get("LAUNCHDB_HOME") and (CHECKOUT / ".launchdb" / "state.json").exists():
        return None
    return home if is_containers_home(home) else None


def settings_of(home: Path) -> Settings:
    """Return the settings that the home's `.env` makes. Raises SettingsError."""
    return load({**read(home), "LAUNCHDB_HOME": str(home), "LAUNCHDB_ENV": "production"}, recall=False)


def local_url(settings: Settings) -> str:
    """Return where the API is reached on the machine, or in the container, in which it runs itself."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104 - compared with
    return f"http://{host}:{settings.port}"


def caller_environment() -> dict[str, str]:
    """Return the environment as the caller of this process gave it."""
    return surroundings.caller_environment()


def program_environment() -> dict[str, str]:
    """Return the environment for docker and compose: nothing in it goes over what `.env` says."""
    return {name: os.environ[name] for name in (*_PASSED, *_PASSED_TOO) if name in os.environ}
