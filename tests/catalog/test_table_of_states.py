"""The table of a project's states: the code goes each of its ways and no other, and the page draws them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jobs.kinds
from catalog import project_states as states
from catalog.project_states import STATES, TABLE
from jobs.engine import kind
from jobs.projects import steps

CHECKOUT = Path(__file__).resolve().parent.parent.parent
JOBS = CHECKOUT / "docs" / "jobs.md"
# Steps that any kind may declare, which go the way that bears the kind's name.
MARKS = {steps.mark_active: "active", steps.mark_paused: "paused"}
KINDS = [declared for declared in kind.kinds().values() if declared.arguments.__module__.startswith("jobs.kinds.")]
WAYS = {(source, way.to, way.by) for way in TABLE for source in way.sources}


def test_a_project_is_never_caught_in_a_state_and_can_come_into_each():
    """From its first state a project can come into every other, and from every other it can be active again."""
    ways = {source: {to for begin, to, _by in WAYS if begin == source} for source in STATES}
    for begin, wanted in (("provisioning", set(STATES)), *((state, {"active"}) for state in STATES)):
        reached = {begin}
        while more := set().union(*(ways[state] for state in reached)) - reached:
            reached |= more
        assert wanted <= reached, begin


def test_every_move_that_is_made_is_in_the_table_and_every_one_of_the_table_is_made():
    calls = set()
    for package in ("app", "catalog", "jobs", "scripts", "workers"):
        for path in (CHECKOUT / package).rglob("*.py"):
            calls |= made(ast.parse(path.read_text()))
    calls |= {(declared.name, MARKS[step.act]) for declared in KINDS for step in declared.steps if step.act in MARKS}
    table = {(way.by, way.to) for way in TABLE}
    anywhere = {by for by, to in calls if not to}
    assert {call for call in calls if call[1]} <= table
    assert {way for way in table if way not in calls} == {way for way in table if way[0] in anywhere}


def test_what_a_kind_does_to_a_project_bears_its_name():
    assert jobs.kinds
    known = {declared.name for declared in KINDS}
    assert {by.split()[0] for by in {way.by for way in TABLE}} - known == {"restore-platform", "adopt"}


def test_the_drawing_shows_each_way_of_the_table_and_no_other():
    assert sorted(drawn() ^ WAYS) == []


def test_the_page_says_what_each_state_means():
    section = JOBS.read_text().split("\n## States of a project\n")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == STATES


def made(tree: ast.AST) -> set[tuple[str, str]]:
    """Every move that a module makes or asks for: what goes it, and whither; '' where that is known at run time only."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("states.move", "states.may_move"):
            by = next(word.value for word in node.keywords if word.arg == "by")
            if ast.unparse(by) == "run.kind":  # one of MARKS, by which kind the declarations tell
                continue
            assert isinstance(by, ast.Constant), ast.unparse(node)
            found.add((by.value, node.args[2].value if isinstance(node.args[2], ast.Constant) else ""))
    return found


def drawn() -> set[tuple[str, str, str]]:
    """The ways of the drawing; an arrow from or to `settled` stands for each of its states."""
    section = JOBS.read_text().split("\n## States of a project\n")[1].split("\n## ")[0]
    drawing = re.search(r"```mermaid\n(.*?)```", section, re.DOTALL)[1]
    groups = {"settled": states.SETTLED}
    return {
        (source, to, by)
        for begin, end, label in re.findall(r"^ *(\w+) --> (\w+) : (.+)$", drawing, re.MULTILINE)
        for source in groups.get(begin, (begin,))
        for to in groups.get(end, (end,))
        for by in label.split(", ")
    }
