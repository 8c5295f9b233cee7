"""Execution plans: given away where a setting allows it, for any media type, and without carrying anything out."""

from __future__ import annotations

import json

import pytest

PLAN = "application/vnd.pgrst.plan"


@pytest.fixture(scope="module")
def planned(project):
    conf = project.folder / "data-api.conf"
    before = conf.read_text()
    conf.write_text(before + "db-plan-enabled = true\n")
    yield project
    conf.write_text(before)


def test_plans_are_not_given_away_by_default(project):
    response = project.get("/books", headers={"Accept": f"{PLAN}+json"})
    assert (response.status_code, response.json["code"]) == (406, "PGRST107")
    assert response.json["message"].endswith('available: application/vnd.pgrst.plan+json; for="application/json"')


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{PLAN}+json", f'{PLAN}+json; for="application/json"; charset=utf-8'),
        (f"{PLAN}", f'{PLAN}+text; for="application/json"; charset=utf-8'),
        (f'{PLAN}+text; for="text/csv"; options=verbose|analyze|drop', None),
        (f'{PLAN}+json; for="application/vnd.pgrst.object+json;nulls=stripped"', None),
    ],
)
def test_a_plan_names_what_it_is_the_plan_of(planned, accept, kind):
    response = planned.get("/books?id=eq.1", headers={"Accept": accept})
    assert response.status_code == 200, response.text
    named = response.headers["Content-Type"]
    assert kind is None or named == kind
    if "csv" in accept:
        assert named == f'{PLAN}+text; for="text/csv"; options=analyze|verbose; charset=utf-8'
        assert "actual time" in response.text
        assert "Output:" in response.text
    elif "+json" in accept:
        assert json.loads(response.data)[0]["Plan"]["Total Cost"] > 0
    else:
        assert "Index Scan" in response.text or "Seq Scan" in response.text


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/books", {"id": 77, "title": "planned"}),
        ("PATCH", "/books?id=eq.1", {"title": "planned"}),
        ("PUT", "/authors?id=eq.77", {"id": 77, "name": "planned"}),
        ("DELETE", "/books?id=eq.3", None),
        ("POST", "/rpc/forget", {}),
    ],
)
def test_a_plan_of_a_write_writes_nothing(planned, method, target, body):
    sent = {"Accept": f"{PLAN}+json", "Prefer": "return=representation, tx=commit, handling=strict, max-affected=0"}
    response = planned.call(method, target, body=body, headers=sent)
    assert (response.status_code, "Plan" in response.json[0]) == (200, True), response.text
    kept = planned.admin.execute("SELECT count(*), count(*) FILTER (WHERE title = 'planned') FROM books").fetchone()
    assert kept == (3, 0)


def test_an_analysed_plan_of_a_write_ends_as_the_request_would(planned):
    sent = {"Accept": f"{PLAN}+json; options=analyze", "Prefer": "tx=rollback"}
    assert planned.call("DELETE", "/books?id=eq.3", headers=sent).json[0]["Plan"]["Actual Rows"] == 1
    assert planned.admin.execute("SELECT count(*) FROM books").fetchone() == (3,)


def test_a_plan_runs_as_the_caller(planned):
    response = planned.get("/locked", role="anon", headers={"Accept": f"{PLAN}+json"})
    assert (response.status_code, response.json["code"]) == (403, "42501")


@pytest.mark.parametrize(
    "accept", [f'{PLAN}; for="text/nothing"', f'{PLAN}; for="{PLAN}; for=text/nothing"', f"{PLAN};;"]
)
def test_a_plan_of_no_answer_is_no_fault_of_ours(planned, accept):
    assert planned.get("/books", headers={"Accept": accept}).status_code in (200, 406)
