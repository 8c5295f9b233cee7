"""permissions, secrets.files, manager.folders, mounts: files are where they belong, for those alone who need them."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from infra import files
from infra.doctor.engine import restart_container
from infra.doctor.findings import check, failure, ok, warning
from infra.errors import Refused, Unavailable
from infra.host import home
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.doctor.findings import Finding
    from infra.doctor.site import Site
    from infra.host.docker_cli import ContainerStatus

# What may be done with what lies in the home folder, by its kind. PgBouncer's two files are read by a group of its own,
# and the data APIs' configurations hold passwords: the guide's 600 and 755 do not fit an account without root.
MODES = (
    (".env", 0o600),
    ("operator.json", 0o600),
    ("secrets", 0o700),
    ("secrets/*", 0o600),
    ("pgbouncer/pgbouncer.ini", 0o640),
    ("pgbouncer/userlist.txt", 0o640),
    ("postgrest/projects", 0o700),
    ("postgres/init/*.sh", 0o755),
    ("scripts/*.sh", 0o755),
    ("backup/*.sh", 0o755),
    ("backup/ssh/backup_key", 0o600),
    ("backup/ssh/backup_key.pub", 0o644),
)
FOLDERS = {"HOST_SCRIPT_DIR": "scripts", "HOST_CONFIG_DIR": "postgrest/projects"}
# Who writes the configurations; the manager asks for jobs alone.
WORKER = "worker"


def _restrict(site: Site, finding: Finding) -> str:
    """Set the mode of what the finding names, if it is still one of ours."""
    wanted = dict(_modes(site)).get(site.home / finding.subject)
    if wanted is None:
        raise Refused(f"{finding.subject} is gone")
    files.restrict(site.home.resolve() / finding.subject, wanted)
    return f"{finding.subject} is {wanted:o} now"


@check("permissions", mend=_restrict, containers=False)
def permissions(site: Site) -> Iterator[Finding]:
    """Nobody may read or write more than they need."""
    wrong = 0
    for path, wanted in _modes(site):
        found = stat.S_IMODE(path.stat().st_mode) & 0o777
        # The stricter is fine where nobody else has to read or run it.
        if found == wanted or (wanted & 0o077 == 0 and found & ~wanted == 0):
            continue
        wrong += 1
        name = str(path.relative_to(site.home))
        look = failure if found & ~wanted & 0o077 else warning
        yield look(f"{name} is {found:o}, not {wanted:o}", f"chmod {wanted:o} {path}", fixable=True, subject=name)
    if not wrong:
        yield ok("files are readable and writable by whom they should be")


@check("secrets.files", containers=False)
def secret_files(site: Site) -> Iterator[Finding]:
    """The platform's secrets are there, strong, different, and none is an example."""
    if not site.settings.secrets_folder.is_dir():
        yield failure(f"{site.settings.secrets_folder} is not there", "start the installation; it makes its secrets")
        return
    faults = secretfiles.weaknesses(site.settings.secrets_folder)
    for fault in faults:
        yield failure(fault, "launchdb secrets rotate, or chmod; see docs/operating.md", subject=fault.split()[0])
    if not faults:
        yield ok("all are strong, different and for nobody else's eyes")


def _settle(site: Site, _finding: Finding) -> str:
    """Ensure both folders, name them in `.env`, and have the worker look again: once, whichever finding asks."""
    wanted = {variable: _folder(site, variable) for variable in FOLDERS}
    done = [line for variable, folder in wanted.items() for line in _put_right(site, variable, folder)]
    inside = _worker(site)
    if inside is not None and any(_disagrees(inside, variable, folder) for variable, folder in wanted.items()):
        # A restart keeps environment and mounts as they were.
        site.compose().up(WORKER, tell=lambda _line: None, dependants=False, again=True)
        done.append("the worker made anew")
    elif inside is not None and done:
        done.append(restart_container(site, inside.name))
    return "; ".join(done) or "nothing was left to do"


def _put_right(site: Site, variable: str, wanted: Path) -> Iterator[str]:
    if not wanted.is_dir():
        files.ensure_folder(wanted, mode=0o755 if variable == "HOST_SCRIPT_DIR" else 0o700, owner=_owner(site.home))
        yield f"{wanted} made"
    if site.dotenv.exists() and site.dotenv_values().get(variable) != str(wanted):
        found = site.dotenv.stat()
        text = secretfiles.with_lines(files.read(site.dotenv), {variable: str(wanted)})
        owner = (found.st_uid, found.st_gid) if (found.st_uid, found.st_gid) != (0, 0) else None
        files.replace(site.dotenv, text, mode=stat.S_IMODE(found.st_mode), owner=owner)
        yield f"{variable} corrected in .env"


@check("manager.folders", mend=_settle)
def manager_folders(site: Site) -> Iterator[Finding]:
    """The folders of scripts and configurations are there, and are the same on the host and inside."""
    inside = _worker(site)
    said = site.dotenv_values()
    for variable in FOLDERS:
        wanted, named = _folder(site, variable), said.get(variable, "")
        remedy = f"{variable}={wanted} in {site.dotenv}, that folder made, and the worker restarted; or --fix"
        faults = []
        if named != str(wanted):
            faults.append(f".env says {named or 'nothing'}")
        if not wanted.is_dir():
            faults.append(f"{wanted} is not there")
        if inside is not None:
            faults += _disagrees(inside, variable, wanted)
        if faults:
            yield failure("; ".join(faults), remedy, fixable=True, subject=variable)
        else:
            yield ok(str(wanted), variable)


@check("mounts")
def mounts(site: Site) -> Iterator[Finding]:
    """No link lies in the place of a folder that containers mount: they would mount what it leads to."""
    links = sorted({path for folder in home.FOLDERS for path in _way(site.home, folder.path) if path.is_symlink()})
    for path in links:
        name = str(path.relative_to(site.home))
        yield failure(f"{name} is a link", f"remove {path}, then launchdb up --docker", subject=name)
    if not links:
        yield ok("what containers mount are folders, and no links")


def _way(base: Path, path: str) -> list[Path]:
    """Return the folders below `base` through which a path leads, itself included."""
    return [base / path, *(base / parent for parent in Path(path).parents if str(parent) != ".")]


def _worker(site: Site) -> ContainerStatus | None:
    """Return the worker's container; without Docker there is none, and what lies here can be mended all the same."""
    try:
        return next((one for one in site.containers() if one.name == f"{site.prefix}{WORKER}"), None)
    except Unavailable:
        return None


def _folder(site: Site, variable: str) -> Path:
    """Return where a folder should be: where `.env` says, if that is a folder's absolute path, else in the home."""
    named = site.dotenv_values().get(variable, "")
    chosen = Path(named)
    if named and chosen.is_absolute() and ".." not in chosen.parts and chosen.is_dir():
        return chosen
    return site.home / FOLDERS[variable]


def _disagrees(inside: ContainerStatus, variable: str, folder: Path) -> list[str]:
    """Return how the container was made otherwise: the variable, and a mount of the folder or of one above it."""
    faults, told = [], inside.environment.get(variable, str(folder))
    if told != str(folder):
        faults.append(f"the worker was started with {told}")
    above = {str(folder), *map(str, folder.parents)}
    # Scripts are run on the host; only what the worker looks into has to be there inside.
    if variable == "HOST_CONFIG_DIR" and not any(
        source == destination and source in above for source, destination in inside.mounts
    ):
        faults.append(f"the worker does not see {folder} under that path")
    return faults


def _modes(site: Site) -> Iterator[tuple[Path, int]]:
    for pattern, mode in MODES:
        for path in sorted(site.home.glob(pattern)):
            # A link, or a folder behind one, is somebody else's.
            own = path.resolve() == site.home.resolve() / path.relative_to(site.home)
            if own and (path.is_file() or pattern in ("secrets", "postgrest/projects")):
                yield path, mode


def _owner(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid
