"""Fixtures that every test shares: real servers, one per process; a migrated database per test."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadFileScheduling

pytest_plugins = [
    "tests.fixtures.images",
    "tests.fixtures.servers",
    "tests.fixtures.before",
    "tests.fixtures.containers",
    "tests.fixtures.projects",
    "tests.fixtures.pooler",
    "tests.fixtures.second",
    "tests.fixtures.smtp",
    "tests.fixtures.ssh",
    "tests.fixtures.successor",
]

# Whoever wants the one installation in containers that a machine can have, or takes its place.
INSTALLED = re.compile(
    r"tests/compose/test_(?:deployment_guide|faults|sleep|stack|traffic|update)\.py::"
    r"|tests/install/test_in_containers\.py::test_without_python_a_version"
)


class ByInstallation(LoadFileScheduling):
    """A module stays in one process, for what it has made; so does all that wants the installation."""

    def _split_scope(self, nodeid: str) -> str:
        return "installation" if INSTALLED.match(nodeid) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByInstallation | None:
    """Return who hands the tests out. xdist's own groups do nothing with this pytest."""
    return ByInstallation(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that would wait in another process for the installation's place."""
    for item in items:
        wants = item.path.parent.name == "compose" and "place" in getattr(item, "fixturenames", ())
        if wants and not INSTALLED.match(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} wants the installation: name its module in tests/conftest.py")
