"""Where a worker dies: one place of each step in every run, the others by seed and in the long campaign."""

from __future__ import annotations

import os
import zlib
from random import Random

import pytest

from jobs.engine.crash import POINTS

# After the act and before its checkpoint a step has been done and nobody knows. The other places are states that this
# one, or that of the step before, is made of as well.
ALWAYS = "after_act"
# Of the others one in so many is tried in every run; another seed tries others.
SHARE = 8
SEED = os.environ.get("LAUNCHDB_TEST_SEED", "1")


def chance(*about: object) -> Random:
    """Return what the seed means for one thing, the same in each process."""
    return Random(zlib.crc32(" ".join(map(str, (SEED, *about))).encode()))


def marked(always: bool, *about: object) -> tuple[pytest.MarkDecorator, ...]:
    """Return no mark for what every run tries, always or by seed; that of the long campaign otherwise."""
    return () if always or chance(*about).randrange(SHARE) == 0 else (pytest.mark.full,)


def some_by_seed(values, always: int, *about: object) -> list:
    """Return them all as parameters; every run tries so many of them, the long campaign the others too."""
    chosen = chance(*about).sample(list(values), always)
    return [pytest.param(value, marks=() if value in chosen else (pytest.mark.full,)) for value in values]


def places_with(arguments, values) -> list:
    """Return every place with every value, as parameters: a place that every run tries has one of them there, by seed."""
    made = []
    for place in places(arguments):
        chosen = chance("value", place.id).choice(list(values))
        for value in values:
            marks = place.marks if value == chosen else (pytest.mark.full,)
            made.append(pytest.param(*place.values, value, id=f"{place.id}-{value}", marks=marks))
    return made


def places(arguments, *given, name: str = "", rare: bool = False, marks: tuple[pytest.MarkDecorator, ...] = ()) -> list:
    """Return every kind:step:point of a kind, as parameters behind those that are given.

    name  what comes before
    rare  every place is tried by seed
    """
    declared = arguments.kind
    found = [(step.name, point) for step in declared.steps for point in POINTS]
    return [
        pytest.param(
            *given, place, id=f"{name}{place}", marks=(*marks, *marked(point == ALWAYS and not rare, name, place))
        )
        for step, point in found
        for place in [f"{declared.name}:{step}:{point}"]
    ]
