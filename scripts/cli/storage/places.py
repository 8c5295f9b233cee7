"""Where files are: in a bucket, written `ss:///BUCKET/KEY`, or on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.cli.errors import USAGE, CliError

SCHEME = "ss:///"


@dataclass(frozen=True)
class RemotePlace:
    """A bucket, and a key in it or what keys begin with."""

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def is_folder(self) -> bool:
        """Whether it can only be what keys begin with."""
        return not self.key or self.key.endswith("/")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rstrip("/").rpartition("/")[2]

    def below(self, relative: str) -> RemotePlace:
        """Return a place in this folder."""
        return RemotePlace(self.bucket, f"{self.key.rstrip('/')}/{relative}" if self.key else relative)


def remote_place(text: str) -> RemotePlace:
    """Read `BUCKET/KEY`, with `ss:///` before it or without. Raises CliError."""
    bucket, _slash, key = text.removeprefix(SCHEME).partition("/")
    if not bucket or "://" in text.removeprefix(SCHEME):
        raise CliError(f"{text} names no bucket; write BUCKET/KEY or {SCHEME}BUCKET/KEY", USAGE)
    return RemotePlace(bucket, key)


def place_of(text: str) -> RemotePlace | Path:
    """Read a place: of a bucket where it begins so, else of this machine. Raises CliError."""
    return remote_place(text) if text.startswith("ss://") else Path(text)


def local_path(folder: Path, relative: str) -> Path:
    """Return where a key lies below a folder of this machine. Raises CliError where it would lie outside it."""
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise CliError(f"an object is called {relative}, which no file can be; copy it alone, under another name")
    return folder.joinpath(*parts)
