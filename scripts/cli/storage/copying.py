"""Copies files between this machine and buckets, one after the other, and shows how far it is."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.storage.places import RemotePlace, local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scripts.cli.jobs.progress import Reporter
    from scripts.cli.storage.files_client import FilesClient

Place = RemotePlace | Path


@dataclass(frozen=True)
class Copy:
    """One file that is to be copied. size: in bytes."""

    source: Place
    target: Place
    size: int


def copies_of(files: FilesClient, source: Place, target: Place, *, recursive: bool) -> list[Copy]:
    """Return what there is to copy. Raises CliError when there is nothing, or it cannot be meant."""
    if isinstance(source, Path) and isinstance(target, Path):
        raise CliError("one of the two has to be in a bucket: write ss:///BUCKET/KEY", USAGE)
    found = list(_local(source, target, recursive=recursive) if isinstance(source, Path)
                 else _remote(files, source, target, recursive=recursive))  # fmt: skip
    if not found:
        raise CliError(f"there is nothing at {source}", NOT_FOUND)
    return found


def carry_out(files: FilesClient, copies: Iterable[Copy], tell: Reporter) -> int:
    """Copy; return how many bytes that were. What is half copied when it fails is not there."""
    copies = list(copies)
    whole, done = sum(copy.size for copy in copies), 0
    for copy in copies:

        def moved(size: int, copy: Copy = copy) -> None:
            nonlocal done
            done += size
            tell.update(100.0 * done / whole if whole else 100.0, f"{copy.source}")

        _copy(files, copy, moved)
        tell.print_line(f"{copy.source} → {copy.target}")
    return done


def _copy(files: FilesClient, copy: Copy, moved: Callable[[int], None]) -> None:
    if isinstance(copy.source, Path):
        with copy.source.open("rb") as file:
            files.upload(file, os.fstat(file.fileno()).st_size, copy.target, moved)  # type: ignore[arg-type]
    elif isinstance(copy.target, Path):
        _download(files, copy.source, copy.target, moved)
    else:
        files.send_to("copy", copy.source, copy.target)
        moved(copy.size)


def _download(files: FilesClient, source: RemotePlace, target: Path, moved: Callable[[int], None]) -> None:
    """Write an object to a file beside, and put that in its place once it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    coming = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        with files.download(source) as parts, coming.open("xb") as file:
            for part in parts:
                file.write(part)
                moved(len(part))
        coming.replace(target)
    finally:
        with suppress(FileNotFoundError):
            coming.unlink()


def _local(source: Path, target: Place, *, recursive: bool) -> Iterable[Copy]:
    if isinstance(target, Path):
        return
    if source.is_file():
        whole = target.below(source.name) if target.is_folder else target
        yield Copy(source, whole, source.stat().st_size)
        return
    if not source.is_dir():
        raise CliError(f"there is no file {source}", NOT_FOUND)
    if not recursive:
        raise CliError(f"{source} is a folder; copy it with --recursive", USAGE)
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield Copy(path, target.below(path.relative_to(source).as_posix()), path.stat().st_size)


def _remote(files: FilesClient, source: RemotePlace, target: Place, *, recursive: bool) -> Iterable[Copy]:
    if not recursive:
        if source.is_folder:
            raise CliError(f"{source} is a folder; copy it with --recursive", USAGE)
        yield Copy(source, _single(source, target), int(files.info(source)["size"] or 0))
        return
    folder = source if source.is_folder else RemotePlace(source.bucket, f"{source.key}/")
    for entry in files.entries(folder, recursive=True):
        relative = entry["key"][len(folder.key) :]
        where = local_path(target, relative) if isinstance(target, Path) else target.below(relative)
        yield Copy(RemotePlace(source.bucket, entry["key"]), where, int((entry["metadata"] or {}).get("size") or 0))


def _single(source: RemotePlace, target: Place) -> Place:
    if isinstance(target, Path):
        return local_path(target, source.name) if target.is_dir() else target
    return target.below(source.name) if target.is_folder else target
