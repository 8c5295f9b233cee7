"""Take one promise of the product away at a time, and some test says which. Five in every run, by seed."""

from __future__ import annotations

import pytest

from tests.crash.places import some_by_seed
from tests.sabotage import faults, trials

FAULTS = {fault.name: fault for fault in faults.every()}
ALWAYS = 5
WHOLE_SECONDS = 900.0


def marked(parameter):
    """A parameter with the markers of the programs that its test needs."""
    (name,) = parameter.values
    needs = [getattr(pytest.mark, program) for program in FAULTS[name].needs]
    return pytest.param(name, marks=[*parameter.marks, *needs], id=name)


@pytest.mark.parametrize("name", [marked(chosen) for chosen in some_by_seed(FAULTS, ALWAYS, "sabotage")])
def test_a_broken_promise_is_noticed_by_its_name(name, tmp_path):
    fault = FAULTS[name]
    trials.copy_tree(tmp_path)
    faults.plant(fault, tmp_path)
    told = trials.run(tmp_path, [fault.test], needs=fault.needs)
    missed = trials.verdict(fault, told, tmp_path)
    assert not missed, f"{name}: {missed}\n{told.output}"


@pytest.mark.full
@pytest.mark.gpg
@pytest.mark.pgbouncer
@pytest.mark.caddy
def test_where_no_promise_is_broken_no_test_says_so(tmp_path):
    trials.copy_tree(tmp_path)
    tests = sorted({fault.test for fault in FAULTS.values()})
    told = trials.run(tmp_path, tests, seconds=WHOLE_SECONDS)
    assert told.collected == []
    assert [phase for phase in told.phases if phase["outcome"] == "failed"] == [], told.output
    calls = {phase["test"].split("[")[0] for phase in told.phases if phase["phase"] == "call"}
    assert calls == set(tests), "each of them has run"
