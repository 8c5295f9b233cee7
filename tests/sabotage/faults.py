"""Planted faults: each takes one line of defence away and names the test that has to notice."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("faults")
CHECKOUT = Path(__file__).parents[2]
MARKERS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
# Programs that a machine may lack, by the markers of the tests that need them. Nothing here needs Docker.
PROGRAMS = frozenset(line.partition(":")[0] for line in MARKERS) - {"docker", "timing", "full"}
TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


class BadFault(Exception):
    """A fault's file is not one; the message names the file and what is wrong with it."""


class StaleFault(Exception):
    """The tree no longer holds what a fault replaces; the message names fault and file."""


@dataclass(frozen=True)
class Edit:
    """A text that stands in a file of the tree exactly once, whatever the white space, and what comes in its place."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    promise  what a user relies on and this fault breaks, in one sentence; the failure's message has to hold it
    test     the test that has to fail, as pytest names it
    needs    the programs without which that test does not run, as its markers say
    """

    name: str
    promise: str
    test: str
    needs: tuple[str, ...]
    edits: tuple[Edit, ...]


def one_line(text: str) -> str:
    """Return the text with each run of white space as one space: lines are broken differently in different places."""
    return " ".join(text.split())


def load(path: Path) -> Fault:
    """Return the fault of a file. Raises BadFault."""
    try:
        given = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadFault(f"{path.name} is no TOML: {error}") from error

    def take(name: str, kind: type) -> Any:
        value = given.pop(name, None)
        if not isinstance(value, kind) or not value:
            raise BadFault(f"{path.name}: {name} has to be there, as {kind.__name__}")
        return value

    test = take("test", str)
    fault = Fault(
        name=path.stem,
        promise=one_line(take("promise", str)),
        test=test,
        needs=_needs(test),
        edits=tuple(_edit(path, edit) for edit in take("edit", list)),
    )
    if given:
        raise BadFault(f"{path.name}: nobody knows {', '.join(sorted(given))}")
    if not TEST.fullmatch(fault.test):
        raise BadFault(f"{path.name}: test has to be tests/….py::test_…, not {fault.test}")
    return fault


def _needs(test: str) -> tuple[str, ...]:
    """Return the programs that a test's markers name, its module's included."""
    module, _, name = test.partition("::")
    file = CHECKOUT / module
    body = ast.parse(file.read_text()).body if file.is_file() else []
    said: list[ast.expr] = []
    for node in body:
        if isinstance(node, ast.Assign) and "pytestmark" in {getattr(target, "id", "") for target in node.targets}:
            said.append(node.value)
        if isinstance(node, ast.FunctionDef) and node.name == name:
            said += node.decorator_list
    found = {node.attr for one in said for node in ast.walk(one) if isinstance(node, ast.Attribute)}
    return tuple(sorted(found & PROGRAMS))


def _edit(path: Path, given: Any) -> Edit:
    if not isinstance(given, dict) or {"path", "old", "new"} != set(given):
        raise BadFault(f"{path.name}: an edit has path, old and new, and nothing else")
    edit = Edit(**given)
    if not all(isinstance(value, str) for value in given.values()) or not edit.old.split():
        raise BadFault(f"{path.name}: path, old and new of an edit are texts, and old is not empty")
    if Path(edit.path).is_absolute() or ".." in Path(edit.path).parts or edit.path.startswith("tests/"):
        raise BadFault(f"{path.name}: {edit.path} is no file of the product within the tree")
    if one_line(edit.old) == one_line(edit.new):
        raise BadFault(f"{path.name}: an edit of {edit.path} changes nothing")
    return edit


def plant(fault: Fault, tree: Path) -> None:
    """Make the fault's edits in a copy of the tree. Raises StaleFault."""
    for edit in fault.edits:
        file = tree / edit.path
        text = file.read_text() if file.is_file() else ""
        found = list(re.finditer(r"\s+".join(map(re.escape, edit.old.split())), text))
        if len(found) != 1:
            raise StaleFault(
                f"{fault.name}: {edit.path} holds {len(found)} times, and not once, what this fault replaces; "
                f"the tree has changed, renew the fault: {one_line(edit.old)!r}"
            )
        file.write_text(text[: found[0].start()] + edit.new.strip() + text[found[0].end() :])


def every() -> list[Fault]:
    """Return every fault of the folder, by name. Raises BadFault."""
    return [load(path) for path in sorted(FOLDER.iterdir())]
