"""The backups of an installation as one thing: sets are written, listed, verified, restored from and removed here.

Nobody else has to know of what files a set is made, how they are encrypted or what a dump goes through.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, cast

from infra import files
from infra.backup import archive, keys, set_writer, sets, transfer
from infra.backup.archive import BackupDamaged
from infra.backup.differences import shortened
from infra.backup.dumps import FORMS, PostgresPrograms
from infra.backup.monitor import UNWATCHED, ProgressMonitor
from infra.backup.objects.of_sets import FilesOfSets
from infra.backup.objects.receiving import received
from infra.backup.objects.totals import NO_FILES
from infra.backup.set_names import file_name, is_manifest, listing_name, stem_of
from infra.backup.set_plan import DATABASE
from infra.backup.set_writer import SetFile
from infra.backup.sql_restore import SqlRestore
from infra.backup.verified_set import VerifiedSet
from infra.errors import Refused
from infra.gpg import Gpg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from config.settings import Settings
    from infra.backup.dumps import Format
    from infra.backup.objects.part import ObjectSource
    from infra.backup.objects.totals import CopiedPart
    from infra.backup.set_plan import DumpSource, SetPlan
    from infra.backup.sets import Manifest
    from infra.backup.sql_restore import RestoreSummary
    from infra.backup.transfer import ExportHeader


class FilesDamaged(BackupDamaged):
    """The database of a set is whole; copies of files are not."""


class BackupStore:
    """The folder of sets, with the keys and the programs that it takes to write one and to read it again.

    objects  what the sets hold of projects' files
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.backups_folder
        self._gpg = Gpg(settings.run_folder / "gnupg")
        self.objects = FilesOfSets(self._folder, settings.secrets_folder, self._gpg)

    def key_id(self) -> str:
        """Return by what the key in force is known. Raises Refused for one that gpg would not take as it stands."""
        return keys.backup_key(self._settings.secrets_folder)[0]

    # --- what there is

    def stems(self) -> list[str]:
        """Return the names of the whole sets, the oldest of each scope first."""
        return sets.stems(self._folder)

    def has(self, stem: str) -> bool:
        """Return whether a set is whole."""
        return sets.manifest_path(self._folder, stem).exists()

    def files(self) -> dict[str, int]:
        """Return the files of every whole set, with their sizes in bytes."""
        stems = set(self.stems())
        listed = sorted(self._folder.iterdir()) if self._folder.is_dir() else ()
        return {path.name: path.stat().st_size for path in listed if stem_of(path.name) in stems and path.is_file()}

    def unfinished(self) -> list[Path]:
        """Return the files that a set under way, or one that was interrupted, has so far."""
        return sorted(self._folder.glob(".*")) if self._folder.is_dir() else []

    def read(self, stem: str, folder: Path | None = None) -> Manifest:
        """Return the manifest of a set. folder: where it lies, if elsewhere. Raises Damaged, Refused."""
        return sets.read_manifest(folder or self._folder, stem, self._keys())

    def details(self, manifest: Manifest) -> dict[str, Any]:
        """Return what was sealed in a manifest. Raises Refused."""
        return sets.read_details(manifest, self._keys()[manifest.key_id])

    def remove(self, stem: str) -> None:
        """Remove a set, whole or not; what it alone needed of files goes with the next sweep. Twice is harmless."""
        self.objects.contents(stem).mark_unswept()
        sets.remove_set(self._folder, stem)

    # --- write and read

    def write(
        self,
        plan: SetPlan,
        source: DumpSource,
        monitor: ProgressMonitor = UNWATCHED,
        *,
        objects: ObjectSource | None = None,
        fresh: bool = False,
    ) -> Manifest:
        """Ensure that the set of a plan is there, its manifest last; one that is whole already stays.

        objects  where the project's files are
        fresh    whether a whole set is written once more when the database was written to since; the old one stays
                 until the new one is whole

        Raises DiskFull, Unavailable.
        """
        files.ensure_folder(self._folder)
        if self.has(plan.stem):
            known = self.read(plan.stem)
            if not fresh or set_writer.is_of_now(self.details(known), source, monitor.check):
                return known
        else:
            sets.remove_set(self._folder, plan.stem)
        monitor.check()
        with ExitStack() as held:
            if objects is not None:
                objects.hold.take()
                held.callback(objects.hold.release)
            return self._written(plan, source, monitor, objects)

    def _written(
        self, plan: SetPlan, source: DumpSource, monitor: ProgressMonitor, objects: ObjectSource | None
    ) -> Manifest:
        target = self._target(plan)
        part = None if objects is None else self.objects.part(plan.stem, plan.key_id, objects, monitor)
        found = set_writer.dump(source, plan, target, monitor, part)
        with nullcontext(NO_FILES) if part is None else part.copied() as copied:
            monitor.check()
            return self._publish(found.manifest(plan, target.key, copied), target, copied)

    def open_verified(
        self, stem: str, *, newest_schema: str, monitor: ProgressMonitor = UNWATCHED, files: bool = True
    ) -> VerifiedSet:
        """Read every byte of a set, before anything is done with it. Raises Refused, naming what is wrong with it.

        newest_schema  the newest project migration that is known here: what is newer cannot be restored
        files          whether the copies of the project's files are read, too; otherwise whoever asked does that
        """
        manifest = self.read(stem)
        sets.check_files(self._folder, manifest)
        returning = self.objects.returning(manifest)
        if files and returning is not None and (wrong := list(returning.faults(monitor, thorough=False))):
            raise FilesDamaged(f"{stem} does not hold all files any more: {'; '.join(shortened(wrong))}")
        if manifest.schema > newest_schema:
            raise Refused(
                f"{stem} was made by a newer version ({manifest.schema}; this one knows {newest_schema}): update first"
            )
        return VerifiedSet(manifest, self._keys()[manifest.key_id], self.details(manifest), returning)

    def restore_into(
        self,
        login: psycopg.Connection[Any],
        source: VerifiedSet,
        *,
        extend: Callable[[str, str], None],
        role: Callable[[str], str] = str,
        monitor: ProgressMonitor = UNWATCHED,
    ) -> RestoreSummary:
        """Pour what a set holds into the database of a session, as its login; return what was played of it.

        extend  creates an extension, given its name and its quoted schema
        role    tells how a role that the dump names is called here

        Raises Refused when there is no end of statements that fail, Damaged.
        """
        manifest, form = source.manifest, cast("Format", source.manifest.format)
        file = manifest.file(DATABASE)
        if file is None:
            raise Refused(f"{manifest.stem} holds no database")
        programs, path = PostgresPrograms.of(self._settings), self._folder / file.name
        with (
            archive.open_plain(path, FORMS[form], self._gpg, source.key) as plain,
            programs.as_sql(plain, form, most_bytes=file.plain_bytes) as text,
        ):
            return SqlRestore(login, role=role, extend=extend, look=monitor.of_bytes(file.plain_bytes)).restore(text)

    # --- other machines

    def receive(self, incoming: Path, stem: str) -> None:
        """Take in a set that was fetched into another folder, its manifest last. Raises Refused when it is damaged."""
        files.ensure_folder(self._folder)
        manifest = sets.read_manifest(incoming, stem, self._keys())
        sets.check_files(incoming, manifest)
        found = [path for path in incoming.iterdir() if stem_of(path.name) == stem]
        with self.objects.received(incoming, manifest):
            for path in sorted(found, key=lambda path: is_manifest(path.name)):
                path.chmod(0o600)
                # Whole under its name, also from another file system, as two mounts are.
                partial = self._folder / f".{path.name}"
                shutil.move(path, partial)
                partial.replace(self._folder / path.name)

    def export(self, source: VerifiedSet, path: Path, passphrase: str, monitor: ProgressMonitor = UNWATCHED) -> None:
        """Write what a set holds into one file for another installation. Raises DiskFull, Refused."""
        manifest, file = source.manifest, source.manifest.files[0]
        partial = path.with_name(f".{path.name}")
        partial.unlink(missing_ok=True)
        total = file.bytes + (manifest.object_bytes or 0)
        archive.ensure_room(files.ensure_folder(path.parent), total)
        head = transfer.ExportHeader.of(manifest, source.details)
        held = source.files.plain() if source.files else ()
        with archive.open_compressed(self._folder / file.name, self._gpg, source.key) as packed:
            told = monitor.of_bytes(total)
            transfer.write_export(partial, head, packed, self._gpg, passphrase, files=held, look=told)
        monitor.check()
        partial.replace(path)

    def export_head(self, path: Path, passphrase: str) -> ExportHeader:
        """Return what an export is, without reading all of it. Raises Refused: another passphrase, or no export."""
        return transfer.read_header(path, self._gpg, passphrase)

    def take_over(
        self, path: Path, passphrase: str, head: ExportHeader, plan: SetPlan, monitor: ProgressMonitor = UNWATCHED
    ) -> Manifest:
        """Make a set, encrypted by our own key, of an export. head: what it was when it was looked at.

        Raises Refused when it is another one by now, Damaged, DiskFull.
        """
        files.ensure_folder(self._folder)
        sets.remove_set(self._folder, plan.stem)
        target, size = self._target(plan), path.stat().st_size if path.exists() else 0
        archive.ensure_room(self._folder, size)
        with ExitStack() as held:
            with transfer.open_export(path, self._gpg, passphrase) as (found, pieces, coming):
                if found != head:
                    raise Refused("the file is another one than when the import was asked for")
                told = monitor.of_bytes(size)
                stored = transfer.reencrypt(pieces, target.path, head.plain_bytes, self._gpg, target.key, told)
                into = self.objects.target(plan.stem, plan.key_id)
                copied = held.enter_context(received(into, coming, monitor))
            monitor.check()
            manifest = plan.manifest(
                stored,
                copied,
                postgres=head.postgres,
                schema=head.schema,
                database_bytes=head.database_bytes,
                details=sets.seal_details(target.key, plan.details),
            )
            return self._publish(manifest, target, copied)

    def _keys(self) -> dict[str, str]:
        return keys.backup_keys(self._settings.secrets_folder)

    def _target(self, plan: SetPlan) -> SetFile:
        """Return the file in which a set is written until it is whole, without what an attempt before has left."""
        path = self._folder / f".{file_name(plan.stem, plan.format)}"
        path.unlink(missing_ok=True)
        return SetFile(path, self._settings, self._gpg, self._keys()[plan.key_id])

    def _publish(self, manifest: Manifest, target: SetFile, copied: CopiedPart = NO_FILES) -> Manifest:
        """Give whole files their names, and then them their manifest; one of before fits the files of before."""
        sets.manifest_path(self._folder, manifest.stem).unlink(missing_ok=True)
        target.path.replace(self._folder / manifest.files[0].name)
        if copied.path is not None:
            copied.path.replace(self._folder / listing_name(manifest.stem))
        sets.write_manifest(self._folder, manifest, target.key)
        return manifest
