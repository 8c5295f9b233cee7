"""Data goes to standard output, everything said about it to standard error."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.errors import DONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

json_option = click.option("--json", "as_json", is_flag=True, help="Print the data as JSON.")

_COLOURS = {
    **dict.fromkeys(("active", "succeeded", "up", "ok"), "green"),
    **dict.fromkeys(("failed", "down", "cancelled", "missing"), "red"),
    **dict.fromkeys(("provisioning", "running", "retrying", "queued", "deleting", "cancelling", "waiting"), "yellow"),
}


def print_note(text: str) -> None:
    """Print a note to the person, who may have gone meanwhile; never data."""
    with suppress(OSError):
        click.echo(strip_control(text), err=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print data. A reader that has seen enough (`| head -1`) ends the command quietly."""
    try:
        for line in lines:
            click.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more at exit, into a pipe that nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(DONE) from None


def print_json(data: Any) -> None:
    """Print data as one JSON document."""
    print_lines([json.dumps(data, indent=2, ensure_ascii=False)])


def format_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return aligned lines, the headers in capitals; values stay whole however narrow the terminal is."""
    cells = [[header.upper() for header in headers], *([format_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return [_line(row, widths) for row in cells]


def format_pairs(values: dict[str, Any]) -> list[str]:
    """Return `name  value` lines, aligned."""
    width = max((len(name) for name in values), default=0)
    return [f"{name.ljust(width)}  {_painted(format_cell(value))}" for name, value in values.items()]


def format_cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return strip_control(str(value))


def format_age(seconds: float | None) -> str | None:
    """Return a duration as people say it: its largest unit, and the next one while that is a small number."""
    if seconds is None:
        return None
    left = max(0, int(seconds))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for (name, size), (_, finer) in zip(units, (*units[1:], ("", 1)), strict=True):
        if left >= size:
            more = (left % size) // finer
            rest = next((unit for unit, of in units if of == finer), "")
            return f"{left // size} {name}" + (f" {more} {rest}" if more and left < 10 * size and finer < size else "")
    return "0 s"


def strip_control(text: str) -> str:
    """Take out what could steer a terminal; line breaks stay."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def _line(row: list[str], widths: list[int]) -> str:
    padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
    return "  ".join(_painted(text) for text in padded).rstrip()


def _painted(text: str) -> str:
    colour = _COLOURS.get(text.strip())
    return click.style(text, fg=colour) if colour else text
