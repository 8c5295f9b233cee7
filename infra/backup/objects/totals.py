"""What came of the files of a set: how many there are, and what is wrong with some."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from infra.backup.archive import StoredFile

MOST_NAMED = 100


@dataclass
class CopyTotals:
    """What a set holds of files.

    objects, bytes  files of the set, and their bytes
    added           bytes that the copies take up which were not there before
    remarks         what is wrong with some, in words; others says with how many more
    """

    objects: int = 0
    bytes: int = 0
    added: int = 0
    remarks: list[str] = field(default_factory=list)
    others: int = 0

    def remark(self, said: str) -> None:
        """Keep in mind what is wrong with one."""
        if len(self.remarks) < MOST_NAMED:
            self.remarks.append(said)
        else:
            self.others += 1

    def said(self) -> list[str]:
        """Return all remarks."""
        return [*self.remarks, *([f"and {self.others} files more"] if self.others else [])]


@dataclass(frozen=True)
class CopiedPart:
    """The files of a set, copied. path: the file that names them, and what it turned out to be; None for no files."""

    path: Path | None
    stored: StoredFile | None
    totals: CopyTotals


NO_FILES = CopiedPart(None, None, CopyTotals())
