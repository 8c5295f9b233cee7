"""The journeys that ARCHITECTURE.md lists file by file: what can be told of them from imports and names."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import PurePath

import pytest

from tests.fixtures.journeys import CHECKOUT, CONNECTIONS, listed
from tests.test_architecture import MAY_IMPORT, MAY_IMPORT_WING, TREES, imports, used, wing_of

POST, BACKUP = "File by file", "The journey of a backup"
MOST_FILES = 12
# What stands above the kinds that make backups: nothing of it is needed to run one.
ABOVE = ("app", "workers", "scripts", "jobs.kinds.platform", "jobs.requests", "jobs.loops")
KINDS = sorted(module for module in TREES if module.startswith("jobs.kinds.backup."))
GRAPH = {module: imports(used(tree)) & set(TREES) - {module} for module, tree in TREES.items()}


def module_of(file: str) -> str:
    return ".".join(PurePath(file).with_suffix("").parts)


def reached(module: str) -> set[str]:
    """Every module that is imported with this one, with the packages that they are in."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += GRAPH[name]
    return found


def layer_of(module: str) -> str:
    return module.partition(".")[0]


def is_below(lower: str, upper: str) -> bool:
    """Whether one module may know the other: it lies in the same wing, in one below it, or in a layer below."""
    own, other = layer_of(upper), layer_of(lower)
    if own != other:
        return other in MAY_IMPORT[own]
    wings = wing_of(upper), wing_of(lower)
    return wings[0] == wings[1] or wings[1] in MAY_IMPORT_WING.get(wings[0], ())


@pytest.mark.parametrize("heading", [POST, BACKUP])
def test_every_file_of_a_journey_is_there_once(heading):
    files = listed(heading)
    assert files
    assert len(set(files)) == len(files)
    assert [name for name in files if not (CHECKOUT / name).is_file()] == []


def test_from_a_post_to_create_database_there_are_at_most_twelve_files():
    files = listed(POST)
    assert 2 < len(files) <= MOST_FILES
    assert re.search(r"^CREATE DATABASE ", (CHECKOUT / files[-1]).read_text(), re.MULTILINE)


def test_each_file_of_a_post_leads_to_the_next():
    """By an import, by running the statements beside it, or by what both ends of a hand-over name: table or bell."""
    files = listed(POST)
    unlinked = [f"{one} → {next_}" for one, next_ in pairwise(files) if not leads(one, next_)]
    assert unlinked == []


def leads(one: str, other: str) -> bool:
    text = (CHECKOUT / one).read_text()
    if other.endswith(".sql") and one.endswith(".py"):
        return PurePath(one).with_suffix("") == PurePath(other).with_suffix("") and "statements(__file__)" in text
    if other.endswith(".sql"):  # a statement calls what the database itself runs
        called = set(re.findall(r"\b(\w+)\(", text))
        return bool(called & set(re.findall(r"FUNCTION (?:public\.)?(\w+)\(", (CHECKOUT / other).read_text())))
    if one.endswith(".sql"):
        return hands_over(text, other)
    return module_of(other) in all_imports(one) or any(via(one, other) for via in (is_routed, is_kind, is_opened))


def hands_over(text: str, other: str) -> bool:
    """The table of jobs: a row is written on one side, and rows of it are asked for on the other."""
    asked = "jobs.engine.worker.claimable" in {
        f"{node.module}.{alias.name}"
        for node in ast.walk(TREES[module_of(other)])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return "INSERT INTO jobs" in text and asked


def all_imports(file: str) -> set[str]:
    return imports(TREES[module_of(file)])


def is_routed(one: str, other: str) -> bool:
    """Views are registered as routes, and called by the operation that they were declared as."""
    return "operation.view(" in (CHECKOUT / one).read_text() and "@routes.change(" in (CHECKOUT / other).read_text()


def is_kind(one: str, other: str) -> bool:
    """Kinds are registered under their names, and their steps called in their order."""
    return "step.act(self._run)" in (CHECKOUT / one).read_text() and "\n@kind(" in (CHECKOUT / other).read_text()


def is_opened(one: str, other: str) -> bool:
    """What the composition has opened reaches a job as an attribute of the world, by whose verbs it is told apart."""
    text, name = (CHECKOUT / one).read_text(), PurePath(other).stem
    opened = module_of(other) in imports(TREES["infra.composition"]) and f"run.infra.{name}" in text
    return opened and any(
        f".{verb}(" in text
        for verb in re.findall(r"^    def ([a-z]\w+)\(", (CHECKOUT / other).read_text(), re.MULTILINE)
    )


def test_a_backup_only_goes_down():
    """Each file is imported by one before it, from the same wing or one above."""
    files = [module_of(name) for name in listed(BACKUP)]
    assert files[0] == "jobs.kinds.backup.backup"
    unlinked = [
        module for at, module in enumerate(files) if at and not any(module in GRAPH[before] for before in files[:at])
    ]
    assert unlinked == []
    climbs = [f"{one} → {next_}" for one, next_ in pairwise(files) if not is_below(next_, one)]
    assert climbs == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_about_backups_needs_nothing_of_a_wing_above_it(kind):
    above = [module for module in reached(kind) if module.startswith(tuple(f"{wing}." for wing in ABOVE))]
    assert above == []


def test_a_backup_needs_no_kind_but_those_about_backups():
    others = [name for name in reached("jobs.kinds.backup.backup") if name.startswith("jobs.kinds.project.")]
    assert others == []


def test_what_holds_connections_is_told_apart_by_holding_them():
    """No list of files leaves one out for being dull: only who opens a connection of its own, for anybody, may be."""
    opens = {
        "infra/postgres/database.py": "= pool_of(",
        "infra/postgres/cluster.py": "= pool_of(",
        "infra/signals/doorbell.py": "redis.Redis.from_url(",
    }
    assert set(opens) == set(CONNECTIONS)
    assert [name for name, call in opens.items() if call not in (CHECKOUT / name).read_text()] == []
