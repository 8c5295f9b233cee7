"""pooler.config: PgBouncer's file is whole. RELOAD says yes to a broken one, and the damage shows at the next start."""

from __future__ import annotations

import configparser
import re
import stat
from typing import TYPE_CHECKING

from infra import files
from infra.doctor.findings import check, failure, info, ok, warning
from infra.errors import InfraError, Refused
from infra.host import docker_cli
from infra.pooler import pooler_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.doctor.findings import Finding
    from infra.doctor.site import Site

NAME, CONTAINER = "pgbouncer.ini", "pgbouncer"
NEEDED = ("listen_port", "auth_type", "pool_mode")
_PROJECT = re.compile(r"proj_[0-9a-f]{16}")


def _mend(site: Site, _finding: Finding) -> str:
    """Have the file made anew, or put its newest whole backup in its place, and have PgBouncer read it.

    Raises Refused when neither can be done.
    """
    done = f"{NAME} made anew from the catalogue" if site.render() else _put_back(site.home / "pgbouncer")
    try:
        docker_cli.signal(f"{site.prefix}{CONTAINER}", "HUP")
    except InfraError as error:
        return f"{done}, but PgBouncer was not told: {error}"
    return f"{done}, and PgBouncer has read it"


def _put_back(folder: Path) -> str:
    path, kept = folder / NAME, backups(folder)
    whole = next((one for one in kept if not file_faults(one)), None)
    if whole is None:
        raise Refused(f"none of the {len(kept)} backups in {folder} is whole, and the catalogue could not be asked")
    found = (path if path.exists() else whole).stat()
    owner = (found.st_uid, found.st_gid) if (found.st_uid, found.st_gid) != (0, 0) else None
    files.replace(path, whole.read_bytes(), mode=stat.S_IMODE(found.st_mode), owner=owner)
    return f"{NAME} restored from {whole.name}"


@check("pooler.config", mend=_mend)
def pooler_config(site: Site) -> Iterator[Finding]:
    """The file can be read, has what PgBouncer needs, and names the projects that the catalogue has."""
    folder = site.home / "pgbouncer"
    path = folder / NAME
    if not path.exists() and not site.settings.pooler_url:
        yield info("there is no pooler: data APIs connect to Postgres themselves")
        return
    found = file_faults(path)
    if found:
        whole = [one.name for one in backups(folder) if not file_faults(one)]
        remedy = f"--fix puts {whole[0]} back" if whole else "--fix makes it anew, where the catalogue can be asked"
        remedy += ", and has PgBouncer read it (HUP)"
        yield failure("; ".join(found), remedy, fixable=True)
        return
    yield ok(f"{NAME} has {len(_text(path).splitlines())} lines, {len(_served(path))} databases", "file")
    yield from _against_catalogue(site, path)


def file_faults(path: Path) -> list[str]:
    """Return what is wrong with such a file as a file; nothing, when PgBouncer could start with it."""
    text = _text(path)
    if not text.strip():
        return [f"{path.name} has {len(text.splitlines())} lines" if path.exists() else f"{path.name} is not there"]
    try:
        parsed = _parsed(text)
    except configparser.Error as error:
        return [f"{path.name} cannot be read: {str(error).splitlines()[0]}"]
    missing = [f"[{section}]" for section in ("databases", "pgbouncer") if section not in parsed]
    if "pgbouncer" in parsed:
        missing += [name for name in NEEDED if name not in parsed["pgbouncer"]]
    # Cut off within its last line, a file has no end of line there; cut off between two, it lacks its digest.
    found = [f"{path.name} lacks {name}" for name in missing]
    found += [] if text.endswith("\n") else [f"{path.name} is cut off"]
    return found or [said for said in (pooler_files.faults(text),) if said]


def backups(folder: Path) -> list[Path]:
    """Return the kept files, the newest first."""
    return sorted(folder.glob(f"{NAME}.backup*"), key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def _against_catalogue(site: Site, path: Path) -> Iterator[Finding]:
    wanted = site.projects()
    if wanted is None:
        yield info("the catalogue could not be asked which projects belong in it", subject="projects")
        return
    named = {name for name in _served(path) if _PROJECT.fullmatch(name)}
    remedy = "the sweep mends it within a minute; if it does not: launchdb jobs list --kind project.reconcile"
    if wanted - named:
        yield failure(f"{', '.join(sorted(wanted - named))} is not in it", remedy, subject="projects")
    elif named - wanted:
        yield warning(f"{', '.join(sorted(named - wanted))} is in it and not served", remedy, subject="projects")
    else:
        yield ok(f"it names all {len(wanted)} projects that are served", "projects")


def _served(path: Path) -> set[str]:
    parsed = _parsed(_text(path))
    return set(parsed["databases"]) if "databases" in parsed else set()


def _parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=True, delimiters=("=",), comment_prefixes=(";", "#"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    # %include is PgBouncer's own word, and no setting.
    parser.read_string("\n".join(line for line in text.splitlines() if not line.startswith("%include")))
    return parser


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
