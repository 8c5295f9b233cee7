"""What every bench needs: percentiles, processor time of a process tree, and a table of figures against their aims."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Figure:
    """One line of a bench's report: what was measured, in which unit, beside its floor and its aim."""

    what: str
    value: float
    unit: str
    floor: float | None = None
    aim: str = ""
    reached: bool | None = None


def print_figures(title: str, figures: list[Figure]) -> None:
    """Print the report as a table that can go into docs/bench.md."""
    table = Table(title=title)
    for heading in ("measured", "value", "floor", "ratio", "aim", "reached"):
        table.add_column(heading)
    for figure in figures:
        ratio = "" if not figure.floor else f"{figure.value / figure.floor:.2f}"
        floor = "" if figure.floor is None else f"{figure.floor:.2f} {figure.unit}"
        reached = "" if figure.reached is None else ("yes" if figure.reached else "NO")
        table.add_row(figure.what, f"{figure.value:.2f} {figure.unit}", floor, ratio, figure.aim, reached)
    Console(width=140).print(table)


def exit_status(figures: list[Figure]) -> int:
    """Return what a bench ends with: 1 when a figure has missed its aim."""
    return int(any(figure.reached is False for figure in figures))


def tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the command's name (proc(5)), or None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(pids: list[int]) -> float:
    """Return the user and system time that these processes have used, with children they have waited for."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            ticks += sum(int(fields[column]) for column in (11, 12, 13, 14))
    return ticks / os.sysconf("SC_CLK_TCK")
