"""Take one promise of the product away at a time, and some test says which. Five in every run, by seed."""

from __future__ import annotations

import shutil

import pytest

from tests.crash.places import some_by_seed
from tests.sabotage import faults, trials

FAULTS = {fault.name: fault for fault in faults.every()}
ALWAYS = 5
WHOLE_SECONDS = 900.0


def needing(programs):
    """The markers of these programs."""
    return [getattr(pytest.mark, program) for program in sorted(set(programs))]


def marked(parameter):
    """A parameter with the markers of the programs that its test needs."""
    (name,) = parameter.values
    return pytest.param(name, marks=[*parameter.marks, *needing(FAULTS[name].needs)], id=name)


TESTS = pytest.param(
    sorted({fault.test for fault in FAULTS.values()}),
    marks=needing(program for fault in FAULTS.values() for program in fault.needs),
    id="all",
)


@pytest.fixture
def tree(tmp_path):
    """A copy of the tree, which is gone with the test."""
    trials.copy_tree(tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("name", [marked(chosen) for chosen in some_by_seed(FAULTS, ALWAYS, "sabotage")])
def test_a_broken_promise_is_noticed_by_its_name(name, tree):
    fault = FAULTS[name]
    faults.plant(fault, tree)
    told = trials.run(tree, [fault.test], needs=fault.needs)
    missed = trials.verdict(fault, told, tree)
    assert not missed, f"{name}: {missed}\n{told.output}"


@pytest.mark.full
@pytest.mark.parametrize("tests", [TESTS])
def test_where_no_promise_is_broken_no_test_says_so(tests, tree):
    told = trials.run(tree, tests, seconds=WHOLE_SECONDS)
    assert told.collected == []
    assert [phase for phase in told.phases if phase["outcome"] == "failed"] == [], told.output
    calls = {phase["test"].split("[")[0] for phase in told.phases if phase["phase"] == "call"}
    assert calls == set(tests), "each of them has run"
