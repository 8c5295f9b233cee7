"""The home of an installation in containers: folders with their owners and modes, secrets, and a copy of these."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from config.installation import parse
from config.settings import CHECKOUT, Settings
from infra import files
from infra.errors import Refused
from infra.host import dotenv
from infra.secrets import secretfiles, service_folders
from infra.secrets.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of our images; see docs/decisions/0028-a-sticky-home.md.
LAUNCHDB, PGBOUNCER = 10001, 10002
COPIES = Path("/root")
# Services replace `.env` in the home, but what root put there is not theirs: the sticky bit says so.
HOME_MODE = 0o1771


@dataclass(frozen=True)
class HomeFolder:
    """A folder of the home; one whose mode or owner was changed gets them again."""

    path: str
    mode: int = 0o700
    owner: int = LAUNCHDB
    group: int = LAUNCHDB


FOLDERS = (
    HomeFolder("secrets"),
    # Root's, so that no service can lay a link in the place of another's folder.
    HomeFolder(service_folders.FOLDER, 0o711, 0, 0),
    *(HomeFolder(f"{service_folders.FOLDER}/{name}") for name, given in SERVICES.items() if not given.everything),
    HomeFolder("backups"),
    HomeFolder("exports"),
    HomeFolder("imports"),
    HomeFolder("backup", 0o711),
    HomeFolder("backup/ssh"),
    HomeFolder("log"),
    HomeFolder("auth"),
    HomeFolder("caddy", 0o750),
    # PgBouncer reads by its group what the others write.
    HomeFolder("pgbouncer", 0o2750, LAUNCHDB, PGBOUNCER),
    HomeFolder("postgres", 0o755),
    HomeFolder("postgres/init", 0o755),
    HomeFolder("platform-api", 0o755),
    HomeFolder("platform-api/config", 0o755),
    HomeFolder("postgrest", 0o755),
    HomeFolder("storage"),
    HomeFolder("storage-projects"),
    HomeFolder("run", 0o711),
    HomeFolder("run/api"),
    HomeFolder("run/auth"),
    HomeFolder("run/projects", 0o711),
    HomeFolder("run/pgbouncer", 0o750, PGBOUNCER, LAUNCHDB),
    HomeFolder("run/broker"),
    HomeFolder("run/caddy"),
    HomeFolder("run/redis"),
    HomeFolder("run/storage"),
)


@dataclass(frozen=True)
class PreparedHome:
    """What `init` did: secrets made now, where their copy lies, and the settings that changed."""

    secrets: list[str]
    copy: Path | None
    changed: list[str]


def prepare(home: Path, given: Mapping[str, str], *, copies: Path = COPIES) -> PreparedHome:
    """Prepare the home to start with; what is there is kept. Raises Refused, with a list, when it cannot be."""
    if os.geteuid() != 0:
        raise Refused(
            "folders are given to the accounts of the containers, which root alone may do; "
            "without root, scripts/run --docker does it in a container"
        )
    with files.translate_os_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    with files.locked(home / ".init.lock"):
        return _prepare(home, given, copies)


def _prepare(home: Path, given: Mapping[str, str], copies: Path) -> PreparedHome:
    secrets = home / "secrets"
    before = parse(files.read(home / ".env"))
    for path in (secrets, *(secrets / name for name in secretfiles.NAMES)):
        if path.is_symlink():
            raise Refused(f"{path} is a link; put the file itself there")
    draft = dotenv.draft_dotenv(home, secrets, given, machine_values(home))
    ensure_folders(
        home,
        Path(draft.values["HOST_CONFIG_DIR"]),
        named=bool(given.get("HOST_CONFIG_DIR")) or _is_root_s(home / ".env"),
    )
    owner = (LAUNCHDB, LAUNCHDB)
    for name, value in draft.secrets.items():
        if not (secrets / name).exists():
            files.replace(secrets / name, value + "\n", owner=owner)
    secretfiles.check(secrets)
    _keep_store_secret(secrets, draft.values)
    service_folders.deal_out(secrets, owner=owner)
    fresh = [name for name, value in draft.secrets.items() if before.get(name) != value]
    copy = write_secrets_copy(copies, draft.secrets) if draft.made or (fresh and not before) else None
    if not files.holds(home / ".env", draft.text):
        files.replace(home / ".env", draft.text, owner=owner)
    for litter in (home / ".env.secrets", CHECKOUT / ".env.secrets"):
        if litter.exists():  # an image's own folder is read-only
            litter.unlink()
    after = parse(draft.text)
    changed = [name for name in after if name not in draft.secrets and before.get(name) != after[name]]
    return PreparedHome(draft.made, copy, changed if before else [])


def complete(home: Path, configurations: Path) -> bool:
    """Ensure what containers mount, as a home of a version before lacks some of it; return whether secrets changed.

    Raises Refused for a link.

    Nobody in a container can lay a link in the place of what is mounted, but who works on the machine can.
    """
    ensure_folders(home, configurations, named=_is_root_s(home / ".env"))
    _keep_store_secret(home / "secrets", parse(files.read(home / ".env")))
    return service_folders.deal_out(home / "secrets", owner=(LAUNCHDB, LAUNCHDB))


def _keep_store_secret(secrets: Path, said: Mapping[str, str]) -> None:
    """Ensure that what `.env` says of the object store's secret is a file: no environment of a container holds it."""
    path, value = secrets / secretfiles.STORE_SECRET, said.get(secretfiles.STORE_SECRET, "")
    if value and not files.holds(path, f"{value}\n"):
        files.replace(path, f"{value}\n", owner=(LAUNCHDB, LAUNCHDB))


def machine_values(home: Path) -> dict[str, str]:
    """Return what only this machine knows."""
    fields = Settings.model_fields
    socket = Path(fields["docker_socket"].default)
    return {
        "LAUNCHDB_VERSION": str(fields["version"].default),
        "HOST_SCRIPT_DIR": str(next((path for path in (home / "scripts",) if path.is_dir()), CHECKOUT / "scripts")),
        "HOST_CONFIG_DIR": str(home / "postgrest" / "projects"),
        "DOCKER_GID": str(socket.stat().st_gid if socket.exists() else 0),
    }


def ensure_folders(home: Path, configurations: Path, *, named: bool = True) -> None:
    """Ensure that every folder exists with its owner and mode. Raises Refused.

    Services may rename what is theirs here, and put a link in its place: root follows none.

    named  whether root itself has said where the data APIs' configurations go, and not a file of the services'
    """
    with files.translate_os_errors(home):
        os.chown(home, 0, LAUNCHDB)
        home.chmod(HOME_MODE)
    for folder in FOLDERS:
        files.ensure_owned_folder(home, folder.path, folder.mode, (folder.owner, folder.group))
    if home in configurations.parents:
        files.ensure_owned_folder(home, str(configurations.relative_to(home)), 0o700, (LAUNCHDB, LAUNCHDB))
        return
    with files.translate_os_errors(configurations):
        theirs = configurations.is_dir() and configurations.stat().st_uid == LAUNCHDB
        # The services could name there what root's programs are looked for in.
        if not (theirs or named):
            raise Refused(
                f"HOST_CONFIG_DIR in .env is {configurations}, which is not the services' yet; "
                f"say so yourself: HOST_CONFIG_DIR={configurations} launchdb init"
            )
        if not theirs and configurations.exists() and any(configurations.iterdir()):
            raise Refused(
                f"HOST_CONFIG_DIR is {configurations}, which holds somebody else's files; choose an empty one"
            )
        configurations.mkdir(parents=True, exist_ok=True)
    files.ensure_owned_folder(configurations.parent.resolve(), configurations.name, 0o700, (LAUNCHDB, LAUNCHDB))


def _is_root_s(path: Path) -> bool:
    try:
        return path.lstat().st_uid == 0
    except FileNotFoundError:
        return False


def write_secrets_copy(folder: Path, secrets: Mapping[str, str]) -> Path:
    """Write a dated copy (0400) for the operator to take somewhere else; one that is there stays. Raises Refused."""
    today = datetime.now(UTC)
    text = f"# LaunchDB's secrets as of {today:%Y-%m-%d %H:%M:%S} UTC. Keep a copy off this machine, then remove it.\n"
    text += "".join(f"{name}={value}\n" for name, value in secrets.items())
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        path = folder / f"launchdb-secrets-{today:%Y%m%d}{suffix}.txt"
        with files.translate_os_errors(path):
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            except FileExistsError:
                continue
            with os.fdopen(handle, "w") as file:
                file.write(text)
            return path
    raise Refused(f"{folder} is full of copies of today")


def give_to_containers(path: Path) -> None:
    """Give a file that root wrote to the containers' account. Raises Refused."""
    with files.translate_os_errors(path):
        os.chown(path, LAUNCHDB, LAUNCHDB, follow_symlinks=False)
