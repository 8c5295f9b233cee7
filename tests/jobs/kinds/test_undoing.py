"""What is made and what takes it back belong together, in every kind that undoes what it began."""

from __future__ import annotations

import pytest

import jobs.kinds  # noqa: F401  every kind registers itself
from jobs.engine import kind as kinds

TAKEN_BACK_BY = {
    "create_roles": "drop_roles",  # or with more, where more may be there
    "clone_template": "drop_database",
    "add_to_pooler": "remove_from_pooler",
    "open_data_api": "close_data_api",
    "open_auth": "close_auth",
    "open_storage": "close_storage",
}
# What was there before, and was only put out for a while, stays.
PUTS_BACK = {("project.restart", step) for step in ("open_data_api", "open_auth", "open_storage")}
MADE = [
    pytest.param(declared, step, id=f"{declared.name}-{step.name}")
    for name, declared in sorted(kinds.kinds().items())
    if declared.on_failure == "undo" and not name.startswith("trial.")
    for step in declared.steps
    if step.name in TAKEN_BACK_BY and (declared.name, step.name) not in PUTS_BACK
]


@pytest.mark.parametrize(("declared", "step"), MADE)
def test_whatever_such_a_kind_makes_it_takes_back(declared, step):
    undo = step.undo.__name__ if step.undo else ""
    verb, _, thing = TAKEN_BACK_BY[step.name].partition("_")
    made = f"{declared.name}, {step.name}"
    assert undo.startswith(verb), f"A job that is called off leaves nothing of what it made: {made}"
    assert undo.endswith(thing), f"A job that is called off leaves nothing of what it made: {made}"


def test_all_that_makes_a_project_is_among_them():
    assert {step.name for _, step in (one.values for one in MADE) if _.name == "project.provision"} == set(
        TAKEN_BACK_BY
    )
