"""What the kernel says of a process of the server's: its memory, its processor time and how far it steps back."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_MEMORY = re.compile(r"RssAnon:\s+(\d+) kB")
_GROUP = re.compile(r"nice (-?\d+)")
TICKS = os.sysconf("SC_CLK_TCK")
# Places behind the name in /proc/<pid>/stat.
_USER, _SYSTEM, _NICE = 11, 12, 16


@dataclass(frozen=True)
class ProcessFacts:
    """One process.

    memory  bytes that it alone has; 0 when that is not known
    cpu     seconds of a processor that it has used so far
    nice    how far it steps back behind others, by the lesser of what is said of it and of its session
    """

    memory: int = 0
    cpu: float = 0.0
    nice: int = 0


def process_facts(status: str | None, stat: str | None, autogroup: str | None) -> ProcessFacts:
    """Read what the files of a process say; what is not there is not known."""
    memory = _MEMORY.search(status or "")
    fields = (stat or "").rpartition(")")[2].split()
    if len(fields) <= _NICE:
        return ProcessFacts(int(memory[1]) * 1024 if memory else 0)
    group = _GROUP.search(autogroup or "")
    nice = int(fields[_NICE]) if group is None else min(int(fields[_NICE]), int(group[1]))
    seconds = (int(fields[_USER]) + int(fields[_SYSTEM])) / TICKS
    return ProcessFacts(int(memory[1]) * 1024 if memory else 0, seconds, nice)
