"""Projects come, change and go while the clients of others ask two hundred times a second: none of those fails."""

from __future__ import annotations

import time

import pytest

from tests.compose.clients import Clients
from tests.compose.test_faults import project  # noqa: F401 - a fixture
from tests.compose.test_stack import created, finished, operator  # noqa: F401 - the last is a fixture

pytestmark = pytest.mark.docker

SECONDS = 15
# A machine that does other things besides gets through with less.
PER_SECOND, LEAST_PER_SECOND = 200, 100
THREADS = 10


@pytest.mark.timing
def test_a_pool_changed_and_projects_added_and_deleted_fail_no_request_of_others(installation, operator, project):  # noqa: F811
    others = [project(), project()]
    addresses = [(one.path, one.key) for one in others]
    demo = installation.operator
    addresses.append((f"/project/{demo['projectId']}/rest/v1/todos?select=title", demo["anonKey"]))
    changes = dict.fromkeys(("created", "changed", "deleted"), 0)
    with Clients(installation, addresses, per_second=PER_SECOND, threads=THREADS) as clients:
        over = time.monotonic() + SECONDS
        while time.monotonic() < over:
            made = created(operator, f"passing {time.monotonic_ns()}")["id"]
            changes["created"] += 1
            for size in (3, 7):
                finished(operator, operator.patch(f"/api/projects/{made}", json={"poolSize": size}))
                changes["changed"] += 1
            finished(operator, operator.delete(f"/api/projects/{made}", params={"purge": "true"}))
            changes["deleted"] += 1
    print(f"{clients}; meanwhile projects {changes}")
    assert clients.failures == []
    assert min(changes.values()) >= 2
    assert clients.rate >= LEAST_PER_SECOND
