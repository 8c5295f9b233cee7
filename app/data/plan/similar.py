"""The name that somebody may have meant, found as PostgREST finds it: by letters in common, then by how many differ."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# How much of a name has to be the same. Less of a list of parameters, which says nothing of the schema.
NAMES_SCORE, LISTS_SCORE = 0.75, 0.33
GRAM_SIZES = (3, 2)
# So many of those that share most letters are compared letter by letter.
CANDIDATES = 50


class NameIndex:
    """Known texts by the groups of letters that they have, so that a wrong one is compared with few of them."""

    def __init__(self, known: Iterable[str]) -> None:
        self._texts = {text.lower(): text for text in known}
        self._keys = list(self._texts)
        self._sizes: dict[int, tuple[dict[str, list[tuple[int, int]]], list[float]]] = {}

    def most_similar(self, wanted: str, score: float) -> str | None:
        """Return the known text that is most like the wanted one, the same but for capitals at best, or None."""
        key = wanted.lower()
        if key in self._texts:
            return self._texts[key]
        for size in GRAM_SIZES:
            near = sorted(self._sharing(key, size), key=_first, reverse=True)[:CANDIDATES]
            rated = [(1 - _distance(key, text) / max(len(key), len(text)), text) for _, text in near]
            best = max((each for each in rated if each[0] >= score), default=None, key=_first)
            if best is not None:
                return self._texts[best[1]]
        return None

    def _sharing(self, key: str, size: int) -> list[tuple[float, str]]:
        """Return the texts that have groups of letters in common with the key, each with the cosine of the two."""
        if size not in self._sizes:
            self._sizes[size] = self._read(size)
        places, lengths = self._sizes[size]
        mine = _grams(key, size)
        shared: Counter[int] = Counter()
        for gram, count in mine.items():
            for number, often in places.get(gram, ()):
                shared[number] += count * often
        length = _length(mine)
        return [(shared[number] / (length * lengths[number]), self._keys[number]) for number in sorted(shared)]

    def _read(self, size: int) -> tuple[dict[str, list[tuple[int, int]]], list[float]]:
        places: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for number, text in enumerate(self._keys):
            grams = _grams(text, size)
            lengths.append(_length(grams))
            for gram, often in grams.items():
                places.setdefault(gram, []).append((number, often))
        return places, lengths


def most_similar(wanted: str, known: Iterable[str], score: float) -> str | None:
    """Return the known text that is most like the wanted one, the same but for capitals at best, or None."""
    return NameIndex(known).most_similar(wanted, score)


def _first(pair: tuple[float, str]) -> float:
    return pair[0]


def _grams(text: str, size: int) -> Counter[str]:
    plain = "".join(character for character in text if character.isalnum() or character in " ,")
    padded = f"-{plain}-".ljust(size, "-")
    return Counter(padded[at : at + size] for at in range(len(padded) - size + 1))


def _length(grams: Counter[str]) -> float:
    return math.sqrt(sum(count * count for count in grams.values()))


def _distance(one: str, other: str) -> int:
    """Return how many letters have to be put in, taken out or changed."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, far in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != far))
    return row[-1]
