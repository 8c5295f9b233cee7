"""What steps are called, which an operator reads: one name and one title for one act, and each is an order."""

from __future__ import annotations

import pytest

import jobs.kinds
from jobs.engine import kind

# Who needs another verb adds it, having looked whether none of these says it.
VERBS = """
    activate add allow apply change check clone close compare complete copy create delete drop dump encrypt end enqueue
    find forget give hand install keep list make mark name note open purge put read refuse remove reopen report reseal
    restore rewrap seal serve set settle store swap take try unlist update vacuum wait wake wrap write
"""


def declared() -> list[kind.Kind]:
    assert jobs.kinds
    return [found for found in kind.kinds().values() if found.name.startswith(("project.", "fleet.", "platform."))]


def test_an_act_has_one_title_and_a_title_one_act_in_all_kinds():
    called = {(step.name, step.label) for found in declared() for step in found.steps}
    names, titles = {name for name, _title in called}, {title for _name, title in called}
    assert len(called) == len(names) == len(titles)


@pytest.mark.parametrize("found", declared(), ids=lambda found: found.name)
def test_a_step_its_title_and_its_undoing_are_orders(found):
    words = [step.name.split("_")[0] for step in found.steps]
    words += [step.label.split()[0].rstrip(",").lower() for step in found.steps]
    words += [step.undo.__name__.split("_")[0] for step in found.steps if step.undo]
    assert set(words) - set(VERBS.split()) == set()
