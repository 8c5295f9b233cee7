"""What of the caller's environment counts: our own settings and a few facts. Everything else stays outside.

Libraries and programs read variables of their own behind our back: libpq PG*, HTTP clients the proxies, Python PYTHON*,
gunicorn, Flask and psycopg theirs. Whatever is not named here is not there for us, so nobody has to know them all.
"""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from config.client import ClientSettings
from config.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

# Who and where the caller is, how their terminal shows things, and how this machine reaches Docker and libraries.
_CALLER = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "HOSTNAME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
_TERMINAL = {"TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "SSH_AUTH_SOCK", "NOTIFY_SOCKET"}
_DOCKER = {"DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"}
_MACHINE = {"LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "SSL_CERT_FILE", "SSL_CERT_DIR"}
# PGRST_* are the data API's, when it serves one database without a home; the last one is the shell's completion.
_OURS = ("LAUNCHDB_", "PGRST_", "_LAUNCHDB_")
_MODELS = (Settings, ClientSettings)
_SETTINGS = {str(field.validation_alias) for model in _MODELS for field in model.model_fields.values()}
_KEPT = frozenset(_CALLER | _TERMINAL | _DOCKER | _MACHINE | _SETTINGS)
# Ours in every process: text is UTF-8 and English, clocks are UTC, our code is this code.
_FIXED = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONUTF8": "1", "PYTHONPATH": str(CHECKOUT)}
# What files are made with unless their maker says otherwise; secrets lie in closed folders and say so themselves.
UMASK = 0o022
# Shells hand out 1024 open files of the many that they may; an API with as many clients needs more.
DESCRIPTORS_MAX = 65_536

# What the caller gave, once this process has entered: for programs that become the caller's own, and for proxies.
_given: dict[str, str] = {}


def program_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a program of ours, made of `environ` (the process's own by default)."""
    found = os.environ if environ is None else environ
    kept = {name: value for name, value in found.items() if _counts(name)}
    return {**kept, **_FIXED}


def enter_own_environment() -> None:
    """Make environment, time zone, umask and open files of this process ours. Before what reads them is loaded."""
    if not _given:
        _given.update(os.environ)
    ours = program_environment()
    for name in set(os.environ) - set(ours):
        del os.environ[name]
    os.environ.update(ours)
    time.tzset()
    os.umask(UMASK)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def caller_environment() -> dict[str, str]:
    """Return the environment as the caller gave it."""
    return dict(_given or os.environ)


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that the caller's environment names for this one; None for none.

    Loopback never has one. What is named without a scheme is spoken to by HTTP. It may hold a password.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    known = {
        name.lower(): value for name, value in sorted(caller_environment().items()) if name.lower().endswith("_proxy")
    }
    proxies = {name.removesuffix("_proxy"): value for name, value in known.items() if value}
    netloc = f"{host}:{parts.port}" if parts.port else host
    if "no" in proxies and proxy_bypass(netloc, proxies):
        return None
    proxy = (proxies.get(parts.scheme) or proxies.get("all") or "").strip()
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy or None


def _counts(name: str) -> bool:
    return name in _KEPT or name.startswith(_OURS)


def data_api_environment() -> dict[str, str]:
    """Return the PGRST_* variables, with which the data API serves one database without a home."""
    return {name: value for name, value in os.environ.items() if name.startswith("PGRST_")}


def began_at() -> float:
    """Return when the command began that this process is a part of, in seconds of the epoch.

    That is when `scripts/run` did, which makes the environment and the images first; else it is now.
    """
    try:
        return min(time.time(), float(os.environ.pop("LAUNCHDB_BEGAN_AT", "")))
    except ValueError:
        return time.time()
