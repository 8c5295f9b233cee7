"""Prints the table of all job kinds as docs/jobs.md shows it: `python -m scripts.kinds_table`."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import jobs.kinds  # noqa: F401 - importing it registers every kind
from jobs.engine.kind import kinds

if TYPE_CHECKING:
    from jobs.engine.kind import Kind

HEADS = (
    "kind",
    "what it does",
    "queue",
    "lane",
    "attempts",
    "at a time",
    "when given up",
    "never beside, on one project",
)


def table() -> str:
    """Return the table in Markdown, one row a kind, by name. Kinds that tests and benches declare are left out."""
    ours = {kind.name: kind for kind in kinds().values() if kind.arguments.__module__.startswith("jobs.")}
    rows = [_row(ours[name], _beside(ours, name)) for name in sorted(ours)]
    return "".join(_line(cells) for cells in (HEADS, ("---",) * len(HEADS), *rows))


def _beside(ours: dict[str, Kind], name: str) -> list[str]:
    """Return the kinds that wait for this one, and it for them, whichever of the two says so."""
    return sorted({*ours[name].conflicts, *(other for other in ours if name in ours[other].conflicts)})


def _row(kind: Kind, beside: list[str]) -> tuple[str, ...]:
    told = (inspect.getdoc(kind.arguments) or "").splitlines()[0].split(". ")[0].rstrip(".")
    return (
        f"[`{kind.name}`](#{kind.name.replace('.', '')})",
        told,
        kind.queue,
        kind.lane or "",
        str(kind.attempts),
        str(kind.max_running or ""),
        {"undo": "undone", "keep": "kept for a retry"}[kind.on_failure],
        ", ".join(f"`{other}`" for other in beside),
    )


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells).replace("  ", " ").rstrip() + " |\n"


if __name__ == "__main__":
    sys.stdout.write(table())
