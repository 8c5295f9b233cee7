"""A project's Storage, made once for the tests of a module."""

from __future__ import annotations

import time

import pytest

from tests.app.storage.world import StorageWorld
from tests.fixtures.projects import drop, new_tenant


@pytest.fixture(scope="module")
def world(cluster, tmp_path_factory):
    """A project's Storage; its settings may be changed by a test, and are put back after each."""
    tenant = new_tenant(cluster)
    made = StorageWorld(tenant, tmp_path_factory.mktemp("storage"))
    yield made
    made.close()
    drop(cluster, tenant.id)


@pytest.fixture
def storage(world):
    """The project's Storage, with the settings that each test begins with."""
    yield world
    world.now = time.time
    world.configure()
