"""Where projects' files are, and what Storage is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from pathlib import Path


class FilesFolders(BaseModel):
    """Folders below the home, which Settings has."""

    @property
    def storage_specs_folder(self) -> Path:
        """One file per project, holding what Storage has to know of it."""
        return self._home / "storage-projects"

    @property
    def files_folder(self) -> Path:
        """One folder per project, holding the bytes of its files."""
        return self._home / "storage"

    @property
    def _home(self) -> Path:
        home: Path = getattr(self, "home")  # noqa: B009 - of the model that this one is a part of
        return home
