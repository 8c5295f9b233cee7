"""What the files of a set are called, here and on any other machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX = ".manifest.json"


def file_name(stem: str, form: str) -> str:
    """Return the name of the file that holds the database of a set."""
    return f"{stem}.{form}.gpg"


def listing_name(stem: str) -> str:
    """Return the name of the file that lists the project's files in a set."""
    return f"{stem}.files.zst.gpg"


def owner_of(stem: str) -> str:
    """Return whose a set is here: a project's id, or 'platform'."""
    return stem[: -len("_YYYYMMDD_HHMMSS")]


def manifest_name(stem: str) -> str:
    """Return the name of the manifest of a set."""
    return f"{stem}{SUFFIX}"


def is_manifest(name: str) -> bool:
    """Return whether a file is a manifest: where one is, there is a set."""
    return name.endswith(SUFFIX)


def stem_of(name: str) -> str:
    """Return which set a file belongs to."""
    return name.partition(".")[0]


def whole(names: Iterable[str]) -> list[str]:
    """Return which sets are whole where these files are, the oldest of each scope first."""
    return sorted(name.removesuffix(SUFFIX) for name in names if is_manifest(name))
