"""What steps are called, which an operator reads: one name and one title for one act, and each is an order."""

from __future__ import annotations

import inspect

import pytest

import jobs.kinds
from jobs.engine import kind

# Who needs another verb adds it, having looked whether none of these says it.
VERBS = """
    activate add allow apply change check clone close compare complete compute copy create delete drop dump encrypt end
    enqueue find forget generate give hand install keep list load make mark name note open publish purge put read
    reconnect refuse remove report reseal restore retire rewrap schedule seal serve set settle store swap switch take try
    unlist update use vacuum wait wake wrap write
"""
# Who reads a title does not see the code, nor the title before it.
UNTOLD = {"it", "there", "beside"}


def declared() -> list[kind.Kind]:
    assert jobs.kinds
    return [found for found in kind.kinds().values() if found.name.startswith(("project.", "fleet.", "platform."))]


def test_an_act_has_one_title_and_a_title_one_act_in_all_kinds():
    called = {(step.name, step.label()) for found in declared() for step in found.steps}
    names, titles = {name for name, _title in called}, {title for _name, title in called}
    assert len(called) == len(names) == len(titles)


def test_an_act_is_one_function_whichever_kinds_need_it():
    acts: dict[str, set[object]] = {}
    for found in declared():
        for step in found.steps:
            acts.setdefault(step.name, set()).add(inspect.unwrap(step.function))
    assert {name for name, functions in acts.items() if len(functions) > 1} == set()


def test_what_is_taken_back_is_the_act_itself_where_there_is_one():
    """An undo that bears a step's name is that step: opening again is opening."""
    steps = {step.name: inspect.unwrap(step.function) for found in declared() for step in found.steps}
    undoings = {inspect.unwrap(step.undo) for found in declared() for step in found.steps if step.undo}
    named = {undo.__name__: undo for undo in undoings if undo.__name__ in steps}
    assert named == {name: steps[name] for name in named}
    assert {undo.__name__ for undo in undoings if undo.__name__.endswith("_again")} == set()


@pytest.mark.parametrize("found", declared(), ids=lambda found: found.name)
def test_a_title_says_by_itself_what_is_done(found):
    words = {word.strip(",").lower() for step in found.steps for word in step.label().split()}
    assert words & UNTOLD == set()


@pytest.mark.parametrize(
    ("children", "title"), [(0, "Wait for backups"), (1, "Wait for 1 backup"), (12, "Wait for 12 backups")]
)
def test_the_title_of_a_step_that_waits_says_for_how_many(children, title):
    (waits,) = [step for step in kind.newest("fleet.backup").steps if step.name == "wait_for_backups"]
    assert waits.label(children) == title


@pytest.mark.parametrize("found", declared(), ids=lambda found: found.name)
def test_a_step_its_title_and_its_undoing_are_orders(found):
    words = [step.name.split("_")[0] for step in found.steps]
    words += [step.label().split()[0].rstrip(",").lower() for step in found.steps]
    words += [step.undo.__name__.split("_")[0] for step in found.steps if step.undo]
    assert set(words) - set(VERBS.split()) == set()
