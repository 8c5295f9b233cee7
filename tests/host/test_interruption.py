"""What an interrupted update has begun is taken back to its end, whenever and however often the signal comes."""

from __future__ import annotations

import os
import signal

import pytest

from infra.errors import Refused
from scripts.stack.interruption import SIGNALS, run_or_undo


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield before
    assert {number: signal.getsignal(number) for number in SIGNALS} == before, "others hear their signals as before"


def strike(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupted_act_is_undone_to_the_end_however_often_one_strikes(number):
    done = []

    def undo(reason):
        assert isinstance(reason, KeyboardInterrupt)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            strike(each)
            done.append(each)

    with pytest.raises(KeyboardInterrupt):
        run_or_undo(lambda: strike(number), undo)
    assert done == [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def test_a_program_that_heard_the_signal_first_does_not_leave_the_undoing_to_be_cut_short():
    """The build ends by Ctrl-C and says so; then this process hears of it."""
    done = []

    def act():
        raise Refused("sh ended with exit status 130")

    def undo(reason):
        assert isinstance(reason, Refused)
        strike(signal.SIGINT)
        done.append("whole")

    with pytest.raises(KeyboardInterrupt):
        run_or_undo(act, undo)
    assert done == ["whole"]


def test_a_refusal_is_undone_and_stays_a_refusal():
    done = []

    def act():
        raise Refused("no space")

    with pytest.raises(Refused, match="no space"):
        run_or_undo(act, done.append)
    assert [str(reason) for reason in done] == ["no space"]


def test_what_the_undoing_says_counts():
    def undo(reason):
        raise Refused("1.0 runs again") from reason

    with pytest.raises(Refused, match="runs again"):
        run_or_undo(lambda: strike(signal.SIGTERM), undo)


def test_what_ends_well_is_not_undone():
    assert run_or_undo(lambda: 7, lambda _reason: pytest.fail("it was undone")) == 7
