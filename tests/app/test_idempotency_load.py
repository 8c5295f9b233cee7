"""A thousand repeats of one request, against the server as it runs: more threads than database connections."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.app.server import served

REPEATS = 1000


def test_a_thousand_concurrent_repeats_make_one_project_and_all_get_its_answer(town, settings):
    owner = town.owner()
    headers = {**owner.client.headers, "Idempotency-Key": "the-one"}
    client = httpx.Client(timeout=60, limits=httpx.Limits(max_connections=64, max_keepalive_connections=64))

    def post(url):
        answer = client.post(f"{url}/api/projects", json={"name": "one"}, headers=headers)
        return (
            answer.status_code,
            answer.headers.get("Idempotency-Replayed"),
            answer.json().get("project", {}).get("id"),
        )

    with (
        served(settings, LAUNCHDB_DATABASE_POOL_SIZE="4", LAUNCHDB_API_THREADS="32") as url,
        client,
        ThreadPoolExecutor(64) as crowd,
    ):
        found = Counter(crowd.map(post, [url] * REPEATS))
    projects = town.rows("SELECT id FROM projects")
    assert len(projects) == 1
    assert found == {(202, None, projects[0]["id"]): 1, (202, "true", projects[0]["id"]): REPEATS - 1}
    assert len(town.rows("SELECT id FROM jobs")) == 1
