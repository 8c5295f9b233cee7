"""Where the files of exports lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".export.gpg"


def path_of(folder: Path, project_id: str, job_id: str) -> Path:
    """Return where the file of an export lies."""
    return folder / f"{project_id}_{job_id}{SUFFIX}"


def files_of(folder: Path, project_id: str) -> list[Path]:
    """Return every export of a project that lies there, unfinished ones too."""
    return [path for path in folder.glob("*") if path.name.removeprefix(".").startswith(f"{project_id}_")]
