"""Behaviours that clients rely on, as data: `cases/<area>.jsonl`, run by `case_runner`."""

from __future__ import annotations

import pytest

from tests.app.auth.case_runner import CaseRun, cases, differences


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_a_client_is_answered_as_it_expects(auth, case):
    CaseRun(auth).run(case)


def test_every_case_has_a_name_of_its_own():
    names = [case["id"] for case in cases()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("want", "got"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ([1], [1, 2]),
        ("~uuid", "x"),
        ({"a": "~absent"}, {"a": 1}),
        ("~len 2", [1]),
        ("~not x", "x"),
        ("~has b", ["a"]),
        ({}, None),
    ],
)
def test_what_is_not_as_described_is_found(want, got):
    assert differences(want, got) != []
