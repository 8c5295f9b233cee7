"""A reader over one text of a query string: small steps, and errors that name the column."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from app.data.errors import PgrstError, parse_error

if TYPE_CHECKING:
    from collections.abc import Callable

NESTING_MAX = 50


class Reader:
    """Reads a text from left to right. Raises PgrstError (PGRST100) where it does not follow the grammar."""

    def __init__(self, text: str, what: str, shown: str | None = None) -> None:
        self.text, self.at, self.what = text, 0, what
        self.shown = text if shown is None else shown
        self.depth = 0

    @property
    def at_end(self) -> bool:
        """Return whether the text is read to its end."""
        return self.at >= len(self.text)

    def starts_with(self, expected: str) -> bool:
        """Return whether the text goes on with `expected`."""
        return self.text.startswith(expected, self.at)

    def skip_if(self, expected: str) -> bool:
        """Step over `expected` when the text goes on with it."""
        if not self.starts_with(expected):
            return False
        self.at += len(expected)
        return True

    def expect(self, expected: str, called: str | None = None) -> None:
        """Step over `expected`, or raise."""
        if not self.skip_if(expected):
            self.fail(called or f'"{expected}"')

    def take_while(self, allowed: Callable[[str], bool]) -> str:
        """Take characters as long as they are allowed."""
        start = self.at
        while self.at < len(self.text) and allowed(self.text[self.at]):
            self.at += 1
        return self.text[start : self.at]

    def skip_blanks(self) -> None:
        """Step over blanks and tabs."""
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def read_quoted(self) -> str:
        """Take a text in double quotes, in which a backslash makes the next character plain."""
        self.expect('"')
        taken: list[str] = []
        while not self.at_end:
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return "".join(taken)
            if character == "\\":
                if self.at >= len(self.text):
                    break
                character = self.text[self.at]
                self.at += 1
            taken.append(character)
        raise self.error('"\\\\" or "\\""')

    def enter_nesting(self) -> None:
        """Count one level of nesting; raise when there are too many of them."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            self.fail("less nesting")

    def fail(self, expecting: str, at: int | None = None) -> NoReturn:
        """Raise the fault that says where, what was there, and what could have been."""
        raise self.error(expecting, at)

    def error(self, expecting: str, at: int | None = None) -> PgrstError:
        """Return the fault that says where, what was there, and what could have been."""
        position = self.at if at is None else at
        there = f'"{self.text[position]}"' if position < len(self.text) else "end of input"
        message = f'"failed to parse {self.what} ({self.shown})" (line 1, column {position + 1})'
        return parse_error(message, f"unexpected {there} expecting {expecting}")
