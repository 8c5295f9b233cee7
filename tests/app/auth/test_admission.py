"""Who gets through to a project's Auth, and in which words others are turned away."""

from __future__ import annotations

import pytest


def test_health_is_open_to_everybody(auth):
    answer = auth.client.get(f"/project/{auth.id}/auth/v1/health")
    assert answer.status_code == 200
    assert set(answer.json) == {"version", "name", "description"}


@pytest.mark.parametrize("path", ["/nothing", "/admin/nothing", "/healthy"])
def test_what_is_not_there_is_said_as_json(auth, path):
    answer = auth.call("GET", path)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert answer.headers["X-Supabase-Api-Version"] == "2024-01-01"


def test_an_older_client_reads_the_status_as_code(auth):
    answer = auth.call("GET", "/nothing", version=False)
    assert answer.json["code"] == 404
    assert answer.json["error_code"] == "not_found"
