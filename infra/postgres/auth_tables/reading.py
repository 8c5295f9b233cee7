"""The rows of schema `auth` in a plain dump, as pg_dump writes them: by COPY, or by INSERT. Nothing of it is run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

# One row: users with much metadata stay far below.
LONGEST_LINE = 16 * 1024 * 1024
_NAME = r'(?:"[^"]+"|[A-Za-z_]\w*)'
_COPY = re.compile(rf'COPY "?auth"?\.({_NAME}) \(([^)]*)\) FROM stdin;\s*')
_INSERT = re.compile(rf'INSERT INTO "?auth"?\.({_NAME}) \(([^)]*)\)(?: OVERRIDING \w+ VALUE)? VALUES\s*')
# A literal of an INSERT; what pg_dump writes behind it, such as ::jsonb, is left aside.
_VALUE = re.compile(
    r"\s*(?:(?P<null>NULL)|(?P<flag>true|false)|(?P<number>-?[0-9][0-9.eE+-]*)"
    r"|[eE]'(?P<escaped>(?:[^'\\]|''|\\.)*)'|'(?P<text>(?:[^']|'')*)')"
    r"(?:::[\w .\"\[\]]+)?\s*(?=[,)])",
    re.DOTALL,
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.DOTALL)


@dataclass(frozen=True)
class DumpRow:
    """One row of a table. line: where it begins in the file, from 1; values: texts as Postgres writes them, or None."""

    table: str
    line: int
    values: dict[str, str | None] = field(repr=False)


def read_rows(path: Path) -> Iterator[DumpRow]:
    """Read the rows of schema `auth` that a dump holds, in its order. Raises Refused for what is no plain dump."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            yield from _rows(_Lines(file))
    except UnicodeDecodeError as error:
        raise Refused("the file is no plain dump in UTF-8; make it with pg_dump --format=plain") from error
    except OSError as error:
        raise Refused(f"the file cannot be read ({type(error).__name__})") from error


class _Lines:
    """The lines of a file, with their number."""

    def __init__(self, file: TextIO) -> None:
        self._file, self.number = file, 0

    def next(self) -> str | None:
        line = self._file.readline(LONGEST_LINE)
        if not line:
            return None
        self.number += 1
        if len(line) >= LONGEST_LINE:
            raise Refused(f"line {self.number} of the file is too long")
        return line


def _rows(lines: _Lines) -> Iterator[DumpRow]:
    while (line := lines.next()) is not None:
        if found := _COPY.fullmatch(line):
            yield from _copied(lines, _unquoted(found[1]), _columns(found[2]))
        elif line.startswith("COPY "):  # of another schema: its rows may look like anything
            while (line := lines.next()) is not None and line.rstrip("\r\n") != "\\.":
                pass
        elif found := _INSERT.match(line):
            yield from _inserted(lines, _unquoted(found[1]), _columns(found[2]), line[found.end() :])


def _copied(lines: _Lines, table: str, columns: list[str]) -> Iterator[DumpRow]:
    while (line := lines.next()) is not None:
        text = line.rstrip("\n").removesuffix("\r")
        if text == "\\.":
            return
        values = text.split("\t")
        if len(values) != len(columns):
            raise Refused(f"line {lines.number} of the file has {len(values)} values for {len(columns)} columns")
        unescaped = [None if value == "\\N" else _unescaped(value) for value in values]
        yield DumpRow(table, lines.number, dict(zip(columns, unescaped, strict=True)))
    raise Refused("the file ends in the middle of a table")


def _inserted(lines: _Lines, table: str, columns: list[str], rest: str) -> Iterator[DumpRow]:
    """Read the tuples of an INSERT, which may go over many lines."""
    begun = f"the INSERT in line {lines.number}"
    while True:
        line = lines.number
        while (found := _tuple(rest)) is None:
            more = lines.next()
            if more is None or len(rest) > LONGEST_LINE:
                raise Refused(f"{begun} does not end, or holds something else than values")
            rest += more
        values, rest = found
        if len(values) != len(columns):
            raise Refused(f"{begun} has {len(values)} values for {len(columns)} columns")
        yield DumpRow(table, line, dict(zip(columns, values, strict=True)))
        rest = (rest.strip() or lines.next() or "").lstrip()
        if not rest.startswith(","):
            return
        rest = rest[1:]


def _tuple(text: str) -> tuple[list[str | None], str] | None:
    """Return the values of the tuple that a text begins with, and what follows it; None while it is not whole."""
    place = len(text) - len(text.lstrip())
    if text[place : place + 1] != "(":
        return None
    values: list[str | None] = []
    while True:
        found = _VALUE.match(text, place + 1)
        if found is None:
            return None
        values.append(_literal(found))
        place = found.end()
        if text[place] == ")":
            return values, text[place + 1 :]


def _literal(found: re.Match[str]) -> str | None:
    if found["escaped"] is not None:
        return _unescaped(found["escaped"].replace("''", "'"))
    if found["text"] is not None:
        return found["text"].replace("''", "'")
    return found["flag"] or found["number"]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_escape, text) if "\\" in text else text


def _escape(found: re.Match[str]) -> str:
    said = found[1]
    if said[0] in "01234567":
        return chr(int(said, 8))
    if said[0] == "x" and len(said) > 1:
        return chr(int(said[1:], 16))
    return _ESCAPES.get(said, said)


def _columns(text: str) -> list[str]:
    return [_unquoted(name.strip()) for name in text.split(",")]


def _unquoted(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name
