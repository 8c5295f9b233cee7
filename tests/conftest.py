"""Fixtures that every test shares: real servers, one per session; a migrated database per test."""

from __future__ import annotations

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
