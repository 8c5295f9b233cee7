"""One project does everything at once that can be done to others; those others notice nothing, and it is named for it."""

from __future__ import annotations

import httpx
import pytest

from scripts.bench.installation import installation
from tests.isolation.neighbour import assert_unharmed, make_hostile, make_neighbour

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def at():
    with installation(MAX_PROJECTS_PER_OWNER="200") as running:
        yield running


def test_a_hostile_project_takes_nothing_from_its_neighbour(at, capsys):
    base = at.settings.base_url

    def open_client(**more):
        way = httpx.HTTPTransport(local_address="127.0.0.2")
        return httpx.Client(base_url=base, transport=way, **more)

    def value(query):
        with at.infra.database.autocommit() as tx:
            return tx.value(query)

    hostile, neighbour = make_hostile(at.visitor, base), make_neighbour(at.visitor, open_client)
    with capsys.disabled():
        assert_unharmed(hostile, neighbour, lambda: str(at.http.get("/api/admin/doctor").json()), value)
