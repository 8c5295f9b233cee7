"""In what a database differs from what was backed up: what is a fault, what is only worth saying."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.backup.fingerprint import Fingerprint

LIMIT = 20
# Without these somebody might see or write more than before: nobody can agree to their being missing, where that is
# there which they guard.
GUARDS = ("policy ", "rule ", "trigger ", "column ", "schema ")
# Sets of before name the schema of the administrator's extensions, which is theirs and not the project's.
PLATFORMS = "schema launchdb_extensions"
# What is looked at of an expression: a literal, a quoted or a plain name, a number; and casts, to be left out.
_NAME = r"""(?:"(?:[^"]|"")+"|[a-z_]\w*)"""
_TYPE = rf"{_NAME}(?:\.{_NAME})?(?: (?:varying|precision|year|month|day|hour|minute|second|to)\b)*"
_CAST = re.compile(rf"::{_TYPE}(?:\([\d,]+\))?(?: with(?:out)? time zone)?(?:\[\])*")
_WORD = re.compile(r"""[eE]?'(?:[^']|'')*'|"(?:[^"]|"")+"|[^\W\d][\w$]*|\d[\w.]*""")
_NUMBER = re.compile(r"'-?(\d[\d.]*(?:e[+-]?\d+)?)'", re.IGNORECASE)


@dataclass(frozen=True)
class Difference:
    """One difference in words.

    about    what it is about, as the contents name it
    lacking  it is only not there: whoever wants the rest all the same can agree to that
    remark   nothing is lost by it
    """

    about: str
    words: str
    lacking: bool = False
    remark: bool = False

    def __str__(self) -> str:
        return f"{self.about}: {self.words}"


def differences(kept: Fingerprint, found: Fingerprint) -> list[Difference]:
    """Return in what `found` differs from what was `kept`, the worst first."""
    every = [*_rows(kept, found), *_figures(kept, found), *_objects(kept, found)]
    return sorted(every, key=lambda each: (each.remark, each.lacking))


def serious_differences(kept: Fingerprint, found: Fingerprint) -> list[str]:
    """Return in words in what `found` differs from what was `kept`; nothing when it does not."""
    return shortened([str(each) for each in differences(kept, found) if not each.remark])


def shortened(found: list[str]) -> list[str]:
    """Return as many as a person reads, and how many more there are."""
    return found if len(found) <= LIMIT else [*found[:LIMIT], f"and {len(found) - LIMIT} more"]


def expression_words(text: str) -> set[str]:
    """Return names, literals and numbers of an expression: what no other way of writing it leaves out.

    The server writes a parsed expression with casts, parentheses and signs in other places once it was parsed anew.
    """
    plain = _NUMBER.sub(r" \1 ", _CAST.sub(" ", text))
    return {word.removeprefix("E") if word.startswith("E'") else word for word in _WORD.findall(plain)}


def _rows(kept: Fingerprint, found: Fingerprint) -> Iterator[Difference]:
    for name, rows in kept.rows.items():
        if found.rows.get(name) != rows:
            there = found.rows.get(name, 0)
            told = f"{found.rows.get(name, 'no')} rows instead of {rows}"
            yield Difference(f"table {name}", told, lacking=there == 0)


def _figures(kept: Fingerprint, found: Fingerprint) -> Iterator[Difference]:
    for name, (low, high) in kept.bounds().items():
        value = found.figures.get(name)
        if value is None or not low <= value <= high:
            told = " to ".join(map(str, sorted({low, high})))
            there = "missing" if value is None else value
            # One that was used meanwhile may have been set back: whatever the dump has was right at some moment.
            yield Difference(
                name, f"{there} instead of {told}", remark=value is not None and name in {*kept.moved, *found.moved}
            )


def _objects(kept: Fingerprint, found: Fingerprint) -> Iterator[Difference]:
    gone = [f"{key.removeprefix('relation ')}." for key in kept.objects if key.startswith("relation ")
            and key not in found.objects]  # fmt: skip
    for key, digest in kept.objects.items():
        if key == PLATFORMS and key not in found.objects and not _lies_in(PLATFORMS, kept):
            continue
        if key not in found.objects:
            guards = key.startswith(GUARDS) and not key.partition(" ")[2].startswith(tuple(gone))
            yield Difference(key, "it is missing", lacking=not guards)
        elif found.objects[key] != digest:
            yield _differs(key, kept, found)
        elif kept.texts is not None and found.texts is not None:
            yield from _text(key, kept.texts.get(key, ""), found.texts.get(key, ""))
    yield from (Difference(key, "it was not there") for key in found.objects if key not in kept.objects)


def _lies_in(schema: str, kept: Fingerprint) -> bool:
    return any(f"{schema.removeprefix('schema ')}." in key for key in kept.objects)


def _differs(key: str, kept: Fingerprint, found: Fingerprint) -> Difference:
    if kept.texts is None and found.texts is not None and found.texts.get(key):
        told = "it is written otherwise, and a set of an older version does not say more"
        return Difference(key, told, remark=True)
    if key.startswith("column ") and kept.numbered is None and found.numbered:
        told = "the server has given it another number, and a set of an older version does not say more"
        return Difference(key, told, remark=True)
    return Difference(key, "its definition, owner or rights differ")


def _text(key: str, kept: str, found: str) -> Iterator[Difference]:
    if kept == found:
        return
    if missing := expression_words(kept) - expression_words(found):
        yield Difference(key, f"its definition lost {', '.join(sorted(missing)[:5])}")
