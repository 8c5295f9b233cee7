"""Fixtures that every test shares: real servers, one per process; a migrated database per test."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

pytest_plugins = [
    "tests.fixtures.atomic_acts",
    "tests.fixtures.images",
    "tests.fixtures.installation",
    "tests.fixtures.servers",
    "tests.fixtures.service_logins",
    "tests.fixtures.before",
    "tests.fixtures.containers",
    "tests.fixtures.projects",
    "tests.fixtures.pooler",
    "tests.fixtures.rivals",
    "tests.fixtures.second",
    "tests.fixtures.small_server",
    "tests.fixtures.smtp",
    "tests.fixtures.ssh",
    "tests.fixtures.successor",
]

OTHERS_SECONDS = 5400
# Whoever takes the place of the one installation in containers that a machine can have: before there is one.
STANDS_IN = re.compile(r"tests/install/test_in_containers\.py::test_without_python_a_version")
# Whoever wants it.
INSTALLED = re.compile(
    r"tests/compose/test_(?:auth|deployment_guide|faults|host_faults|neighbours|object_store|settings|sleep|stack|traffic"
    rf"|update|worth)\.py::|tests/acceptance/|{STANDS_IN.pattern}"
)


class ByInstallation(LoadFileScheduling):
    """A module stays in one process, for what it has made; so does all that wants the installation."""

    def _split_scope(self, nodeid: str) -> str:
        return "installation" if INSTALLED.match(nodeid) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByInstallation | None:
    """Return who hands the tests out. xdist's own groups do nothing with this pytest."""
    return ByInstallation(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest) -> None:
    """Have what asserts on seconds wait until the others have ended that run beside it, where there are any."""
    ended = os.environ.get("LAUNCHDB_TEST_OTHERS_END")
    if ended and request.node.get_closest_marker("timing"):
        deadline = time.monotonic() + OTHERS_SECONDS
        while not Path(ended).exists():
            assert time.monotonic() < deadline, "the others do not come to an end"
            time.sleep(0.5)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what asserts on seconds last; refuse what would wait in another process for the installation's place."""
    items.sort(key=lambda item: (item.get_closest_marker("timing") is not None, not STANDS_IN.match(item.nodeid)))
    for item in items:
        wants = "free_place" in getattr(item, "fixturenames", ())
        if wants and not INSTALLED.match(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} wants the installation: name its module in tests/conftest.py")
