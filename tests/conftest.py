"""Fixtures that every test shares: real servers, one per process; a migrated database per test."""

from __future__ import annotations

import pytest

pytest_plugins = [
    "tests.fixtures.images",
    "tests.fixtures.servers",
    "tests.fixtures.containers",
    "tests.fixtures.projects",
    "tests.fixtures.pooler",
    "tests.fixtures.second",
    "tests.fixtures.smtp",
    "tests.fixtures.ssh",
    "tests.fixtures.successor",
]

# Whoever wants the one installation in containers that a machine can have (tests/compose/conftest.py).
INSTALLED = {"installation", "unstarted", "place"}


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares one thing, for `--dist loadgroup`: an installation, or what a module has made."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            installed = item.path.parent.name == "compose" and INSTALLED & set(getattr(item, "fixturenames", ()))
            item.add_marker(pytest.mark.xdist_group("installation" if installed else item.path.stem))
