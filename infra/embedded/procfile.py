"""Reads the Procfile and the formation: which processes there are, and how many of each."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):\s*(\S.*)")
_PART = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=([0-9]{1,2})")
PROGRAM = "launchdb"


@dataclass(frozen=True)
class ProcfileLine:
    """One process of the Procfile: `number` counts its copies from 1."""

    role: str
    number: int
    argv: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of this copy, as logs bear it."""
        return f"{self.role}.{self.number}"


def read(path: Path, formation: str) -> list[ProcfileLine]:
    """Return every process to be started, in the file's order. Raises Refused for a line nobody can read."""
    roles: dict[str, tuple[str, ...]] = {}
    for text in path.read_text().splitlines():
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(text.strip())
        if match is None or match[1] in roles:
            raise Refused(f"{path}: this line is not `name: command`, or its name stands twice: {text.strip()}")
        roles[match[1]] = _argv(match[2])
    counts = _counts(formation, roles)
    return [
        ProcfileLine(role, number + 1, argv) for role, argv in roles.items() for number in range(counts.get(role, 1))
    ]


def _counts(formation: str, roles: dict[str, tuple[str, ...]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in filter(None, (text.strip() for text in formation.split(","))):
        match = _PART.fullmatch(part)
        if match is None or match[1] not in roles:
            raise Refused(f"LAUNCHDB_FORMATION: {part} is not `name=count` with a name of the Procfile")
        counts[match[1]] = int(match[2])
    return counts


def _argv(command: str) -> tuple[str, ...]:
    first, *rest = shlex.split(command)
    # Our own program by this very interpreter, so that nothing depends on PATH.
    return (sys.executable, "-m", "scripts.cli", *rest) if first == PROGRAM else (first, *rest)
