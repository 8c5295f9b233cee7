"""What another owner has is not there, each way by itself, with clients that do not wait for ever."""

from __future__ import annotations

import httpx
import pytest

from app.http import paging
from app.http.problems import Problem
from app.server import cors


@pytest.fixture
def paths(owner):
    """The paths of what an owner has."""
    project = owner.project()
    return {
        "a project": f"/api/projects/{project['id']}",
        "a job": f"/api/jobs/{project['currentJob']}",
        "the events of a job": f"/api/jobs/{project['currentJob']}/events",
    }


@pytest.mark.parametrize("what", ["a project", "a job", "the events of a job"])
def test_what_another_owner_has_is_not_there(what, paths, owner, town):
    for person, right in ((owner, 200), (town.owner(), 404)):
        with person.client.stream("GET", paths[what]) as answer:
            status = answer.status_code
        assert status == right, f"What another owner has is not there: {what}"


def test_a_stream_that_does_not_end_fails_its_client(paths, town):
    boss = town.owner(operator=True)
    with pytest.raises(httpx.ReadTimeout):
        boss.get(paths["the events of a job"], timeout=0.5)


@pytest.mark.parametrize(
    "place", [["a"], ["a", "b", "c"], [1, 2], ["a", None], ["x" * 65, "b"], ["a", "b\n"], ["ä", "b"]]
)
def test_a_cursor_that_is_none_of_ours_is_refused(place):
    with pytest.raises(Problem) as refused:
        paging.decode_cursor(paging.encode_cursor(*place), 2)
        pytest.fail("A cursor that is none of ours is refused")
    assert refused.value.status == 400


def test_a_browser_of_an_origin_that_a_project_does_not_name_is_not_let_in():
    ours = ("https://ours.example",)
    assert ("Access-Control-Allow-Origin", ours[0]) in cors.headers(ours[0], ours)
    named = dict(cors.headers("https://evil.example", ours))
    assert "Access-Control-Allow-Origin" not in named, "A project that names its origins lets no other in"
