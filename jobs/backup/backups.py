"""What the kinds about backups share: writing a set, and reading one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from catalog import backups, names
from catalog.settings_model import SECRETS
from infra import files
from infra.backup import archive, sets
from infra.backup import keys as backup_keys
from infra.backup.dumps import FORMS, Programs
from infra.backup.fingerprint import Contents, looking
from infra.backup.sets import File, Manifest
from infra.errors import Refused, Unavailable
from infra.gpg import Gpg
from infra.pipeline import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from catalog.backups import Backup
    from infra.backup.dumps import Format
    from infra.composition import Infra
    from jobs.engine.run import Run

# How often a long step looks whether it may go on, and says how far it is.
LOOK_SECONDS = 0.5
DATABASE = "database"
# What a project that is brought back goes on with, so that the keys in its clients stay good.
KEYS = (names.JWT_SECRET, names.ANON_KEY, names.SERVICE_KEY)
KEPT_SECRETS = (*KEYS, *SECRETS.values())


@dataclass(frozen=True)
class Opened:
    """A set that was checked: every byte of it is what was written."""

    manifest: Manifest
    key: str
    details: dict[str, Any]

    @property
    def contents(self) -> Contents:
        """What the database held."""
        return Contents.from_json(self.details["contents"])


def gpg(infra: Infra) -> Gpg:
    """Return gpg with its home among what does not outlive a restart."""
    return Gpg(infra.settings.run_folder / "gnupg")


def write(
    run: Run[Any], backup: Backup, uri: str, *, project: str, more: dict[str, Any], fresh: bool = False
) -> Manifest:
    """Let the set of a backup be there, the manifest last; a set that is whole already stays.

    uri      by which the database is dumped
    project  the id that stands in its roles' names; empty for the platform's own
    more     what is sealed beside what was found
    fresh    whether a whole set is written once more when the database was written to since; the old one stays until
             the new one is whole

    Raises DiskFull, Unavailable.
    """
    folder = files.folder(run.infra.settings.backups_folder)
    keys = backup_keys.backup_keys(run.infra.settings.secrets_folder)
    path = sets.path_of(folder, backup.stem)
    if path.exists():
        known = sets.read(folder, backup.stem, keys)
        if not fresh or _is_of_now(run, known, keys, uri):
            return known
    else:
        sets.remove(folder, backup.stem)
    run.check()
    key, form = keys[backup.key_id], cast("Format", backup.format)
    name = sets.file_name(backup.stem, form)
    partial = folder / f".{name}"
    partial.unlink(missing_ok=True)
    found = _dumped(run, backup, uri, partial, key, project)
    stored = found.stored
    details = {**more, "contents": found.contents.to_json(), "scope": backup.scope, "written": found.written}
    manifest = Manifest(
        id=backup.id,
        scope=backup.scope,
        stem=backup.stem,
        created_at=backup.created_at.isoformat(),
        format=form,
        postgres=found.server,
        schema=found.schema or run.infra.databases.templates.version,
        key_id=backup.key_id,
        database_bytes=found.size,
        files=(File(name, DATABASE, stored.bytes, stored.sha256, stored.plain_bytes),),
        details=sets.seal(key, details),
    )
    run.check()
    path.unlink(missing_ok=True)  # it fits the file of before
    partial.replace(folder / name)
    sets.write(folder, manifest, key)
    return manifest


@dataclass(frozen=True)
class _Dumped:
    """What was dumped into a file, and what the database held at that moment."""

    stored: archive.Stored
    contents: Contents
    size: int
    server: str
    schema: str
    written: str


def _is_of_now(run: Run[Any], known: Manifest, keys: Mapping[str, str], uri: str) -> bool:
    """Say whether nothing was written to a database since it was backed up, nor a number given out. Raises Unavailable.

    Numbers of a sequence count as nothing written; those that were given out while it was dumped may not be in it.
    """
    details = sets.details(known, keys[known.key_id])
    kept = Contents.from_json(details["contents"])
    with looking(run.infra.databases.cluster, uri, run.session, check=run.check) as look:
        return details.get("written") == look.written and kept.figures == kept.later == look.figures()


def _dumped(run: Run[Any], backup: Backup, uri: str, path: Path, key: str, project: str) -> _Dumped:
    form = cast("Format", backup.format)
    cluster, session = run.infra.databases.cluster, run.session
    with (
        _as_unavailable(),
        looking(cluster, uri, session, project=project, check=run.check) as look,
        ThreadPoolExecutor(1) as beside,
    ):
        size = look.size()
        archive.ensure_room(path.parent, _expected(run, backup, size))
        programs = Programs.of(run.infra.settings)
        with programs.dump(uri, form, snapshot=look.snapshot, session=run.session) as plain:
            # What it holds is counted while it is dumped: both see the same moment.
            counted = beside.submit(look.take, lambda: None)
            stored = archive.store(plain, path, FORMS[form], gpg(run.infra), key, told(run, size, "dumped"))
        return _Dumped(stored, look.ended(counted.result()), size, look.server, look.schema(), look.written)


def is_whole(run: Run[Any]) -> bool:
    """Say whether the set of this job's backup is written to its end; one that is listed was, whatever became of it."""
    with run.infra.database.autocommit() as tx:
        backup = backups.of_job(tx, run.job_id)
    path = sets.path_of(run.infra.settings.backups_folder, backup.stem)
    return backup.finished_at is not None or path.exists()


def remove(run: Run[Any]) -> None:
    """Take back what a job has written of its backup. One that is listed stays: somebody may rely on it by now."""
    with run.infra.database.autocommit() as tx:
        try:
            backup = backups.of_job(tx, run.job_id)
        except backups.BackupNotFound:
            return
    if backup.finished_at is not None:
        return
    sets.remove(run.infra.settings.backups_folder, backup.stem)
    with run.transaction() as tx:
        backups.forget(tx, backup.id)


def opened(infra: Infra, stem: str) -> Opened:
    """Check a whole set before anything is done with it. Raises Refused, naming what is wrong with it."""
    folder, secrets = infra.settings.backups_folder, infra.settings.secrets_folder
    keys = backup_keys.backup_keys(secrets)
    manifest = sets.read(folder, stem, keys)
    sets.check(folder, manifest)
    newest = infra.databases.templates.version
    if manifest.schema > newest:
        raise Refused(f"{stem} was made by a newer version ({manifest.schema}; this one knows {newest}): update first")
    key = keys[manifest.key_id]
    return Opened(manifest, key, sets.details(manifest, key))


def told(run: Run[Any], total: int, word: str) -> Callable[[int], None]:
    """Return what says how many bytes are done, and passes a safe point, now and then."""
    last = [0.0]

    def tell(done: int) -> None:
        if time.monotonic() - last[0] > LOOK_SECONDS:
            last[0] = time.monotonic()
            run.check()
            run.progress(min(done, total), total, f"{done // 1_000_000} MB {word}")

    return tell


def _expected(run: Run[Any], backup: Backup, database_bytes: int) -> int:
    """Return how large the file will be, about: like the last one, or half of a database that has none yet."""
    with run.infra.database.autocommit() as tx:
        last = backups.newest(tx, backup.scope)
    if last is None or not last.bytes or not last.database_bytes:
        return database_bytes // 2
    return int(1.2 * last.bytes * max(1.0, database_bytes / last.database_bytes))


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """Let what ended badly be tried again: the server may be away, a lock be held, a password just be changed."""
    try:
        yield
    except Failed as error:
        raise Unavailable(str(error)) from error
