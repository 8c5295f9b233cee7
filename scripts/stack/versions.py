"""Which version an installation ran before, and which change of it was begun and has not ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from infra import files
from infra.errors import Refused
from infra.host.home import LAUNCHDB

if TYPE_CHECKING:
    from pathlib import Path

FILE = "versions.json"
UPDATE, ROLLBACK = "update", "rollback"


@dataclass(frozen=True)
class VersionHistory:
    """What is written down before a change and after it.

    running   the version that ran when no change was under way
    previous  the one before it; empty: none is known
    begun     where a change goes that has not ended, whoever was killed meanwhile; empty: there is none
    by        which command began it
    """

    running: str
    previous: str = ""
    begun: str = ""
    by: str = ""

    def completed(self, version: str) -> VersionHistory:
        """Return what is so once a version runs and is well."""
        return VersionHistory(version, self.previous if version == self.running else self.running)

    def origin(self, version: str) -> str:
        """Return what a change that is under way comes from, and is taken back to.

        version  what `.env` says, which is already where a change goes that is gone on with
        """
        return self.running if self.by == UPDATE or self.running != self.begun else version

    @property
    def unfinished(self) -> str:
        """Return what has not ended, and what to do about it; nothing when all is settled."""
        if not self.begun:
            return ""
        on, back = ("rollback", self.begun), ("update", self.running)
        if self.by == UPDATE:
            on, back = ("update", self.begun), ("rollback", self.running)
        return (
            f"a change to {self.begun} was begun and has not ended: "
            f"`launchdb {' '.join(on)}` goes on with it, `launchdb {' '.join(back)}` goes back"
        )


def read(home: Path, version: str) -> VersionHistory:
    """Return it; version: what `.env` says, which is all that is known where nobody has written anything down."""
    try:
        found = json.loads(files.read(home / FILE, private=False))
        past = VersionHistory(**{name: str(found.get(name, "")) for name in VersionHistory.__dataclass_fields__})
    except (Refused, ValueError, AttributeError):
        return VersionHistory(version)
    # `.env` may have been given another version by hand; while a change is under way it says where that goes.
    under_way = past.begun and past.running and past.by in (UPDATE, ROLLBACK)
    return past if under_way else VersionHistory(version, past.previous)


def write(home: Path, past: VersionHistory) -> None:
    """Write it down. Raises Refused."""
    files.replace(home / FILE, json.dumps(asdict(past)) + "\n", owner=(LAUNCHDB, LAUNCHDB))
