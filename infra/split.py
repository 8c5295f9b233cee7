"""Cuts SQL into its statements, as psql does: at semicolons outside quotes, comments, parentheses and bodies."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)
      | (?P<block>/\*)
      | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)?\$)
      | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
      | (?P<quoted>'(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z))
      | (?P<word>[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*)
      | (?P<mark>[;()])""",
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")
_ROUTINE = re.compile(r"create(?: or replace)? (?:function|procedure)\b")


@dataclass(frozen=True)
class Statement:
    """A statement and where it begins in the whole text, counted in characters from 0."""

    text: str
    offset: int


def split(text: str) -> list[Statement]:
    """Return the statements of a text; what holds nothing but blanks and comments is left out."""
    found: list[Statement] = []
    cut, start, place = _Cut(), 0, 0
    while (token := _TOKEN.search(text, place)) is not None:
        cut.says_something |= not text[place : token.start()].isspace() and place < token.start()
        place = _end(text, token)
        if token.lastgroup in ("comment", "block"):
            continue
        if not cut.ends_at(token):
            continue
        if cut.says_something:
            found.append(Statement(text[start : token.start()], start))
        cut, start = _Cut(), place
    if cut.says_something or text[place:].strip():
        found.append(Statement(text[start:], start))
    return found


def end_of_first(text: str) -> int | None:
    """Return where the semicolon of the first statement stands; None when the text ends before that is known.

    For reading a long text in pieces: whatever a quote or a comment leaves open waits for the next piece.
    """
    cut, place = _Cut(), 0
    while (token := _TOKEN.search(text, place)) is not None:
        place = _end(text, token)
        if token.lastgroup not in ("comment", "block") and cut.ends_at(token):
            return token.start()
        if place == len(text):
            return None
    return None


class _Cut:
    """Where the statement at hand is: how deep in parentheses and in the body of a routine, and what it began with."""

    def __init__(self) -> None:
        self.says_something = False
        self._words: list[str] = []
        self._parentheses = 0
        self._body = 0

    def ends_at(self, token: re.Match[str]) -> bool:
        """Take the next token; say whether it is the statement's last."""
        mark = token.group()
        if mark == ";" and self._parentheses == self._body == 0:
            return True
        self.says_something = True
        if token.lastgroup == "word":
            self._read(mark.lower())
        elif mark in ("(", ")"):
            self._parentheses = max(0, self._parentheses + (1 if mark == "(" else -1))
        return False

    def _read(self, word: str) -> None:
        if len(self._words) < 4:
            self._words.append(word)
        if self._parentheses or not _ROUTINE.match(" ".join(self._words)):
            return
        # BEGIN ATOMIC … END, with CASE … END inside; a name called begin stands in quotes.
        if word == "begin" or (word == "case" and self._body):
            self._body += 1
        elif word == "end" and self._body:
            self._body -= 1


def _end(text: str, token: re.Match[str]) -> int:
    if token.lastgroup == "dollar":
        close = text.find(token.group(), token.end())
        return len(text) if close < 0 else close + len(token.group())
    if token.lastgroup != "block":
        return token.end()
    depth, place = 1, token.end()
    while depth and (mark := _BLOCK.search(text, place)) is not None:
        depth += 1 if mark.group() == "/*" else -1
        place = mark.end()
    return len(text) if depth else place
