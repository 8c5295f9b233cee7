"""Quotas, rate limits and outages: clear refusals, and never a false promise."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from app.factory import create_app
from app.platform.operations.internal import create_internal_app
from config.settings import load
from infra.composition import Infra
from tests.app.conftest import Town
from tests.app.test_bad_input import problem


@contextmanager
def another(settings, **more):
    """A town whose installation is set otherwise."""
    values = {"LAUNCHDB_HOME": str(settings.home), "LAUNCHDB_DATABASE_URL": settings.database_url}
    changed = load({**values, "LAUNCHDB_REDIS_URL": settings.redis_url, **more})
    infra = Infra.open(changed)
    app = create_app(changed, infra, ("platform",))
    town = Town(app, infra, changed)
    try:
        yield town
    finally:
        town.close()
        app.extensions["launchdb"].close()
        infra.close()


def test_a_quota_counts_the_projects_that_are_not_deleted(app, settings):
    with another(settings, MAX_PROJECTS_PER_OWNER="2") as town:
        owner = town.owner()
        owner.project("a")
        second = owner.project("b")
        problem(owner.post("/api/projects", json={"name": "c"}), 403)
        owner.delete(f"/api/projects/{second['id']}")
        owner.project("c")
        town.owner().project("a")


def test_an_operator_has_no_quota_unless_one_was_set_for_them(app, settings):
    with another(settings, MAX_PROJECTS_PER_OWNER="2") as town:
        boss, owner = town.owner(operator=True), town.owner()
        for name in "abcd":
            boss.project(name)
        for person, most in ((boss, 4), (owner, 1)):
            limited = boss.patch(f"/api/admin/owners/{person.id}", json={"maxProjects": most})
            assert limited.status_code == 200
        problem(boss.post("/api/projects", json={"name": "e"}), 403)
        owner.project("a")
        problem(owner.post("/api/projects", json={"name": "b"}), 403)


def test_in_production_who_registers_was_invited_unless_something_else_is_said():
    production = {"LAUNCHDB_ENV": "production"}
    assert load(production, recall=False).registration == "invite"
    assert load({**production, "REGISTRATION": ""}, recall=False).registration == "invite"
    assert load({}, recall=False).registration == "open"
    for said in ("open", "closed", "invite"):
        assert load({**production, "REGISTRATION": said}, recall=False).registration == said


def test_who_asks_too_often_waits_and_others_do_not(app, settings):
    with another(settings, API_RATE_PER_MINUTE="5") as town:
        owner = town.owner()
        for spoofed in range(40):
            answer = owner.get("/api/projects", headers={"X-Forwarded-For": f"1.2.3.{spoofed}"})
            if answer.status_code == 429:
                break
        problem(answer, 429)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("5", "0")
        assert town.owner().get("/api/projects").status_code == 200
        assert owner.get("/api/health").status_code == 200


def test_replays_are_not_counted(app, settings):
    with another(settings, API_RATE_PER_MINUTE="5") as town:
        owner = town.owner()
        for _ in range(15):
            answer = owner.post("/api/projects", json={"name": "a"}, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 202


def test_a_trusted_proxy_is_believed_about_the_client_and_nobody_else(app, settings):
    more = {"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8", "SIGN_IN_RATE_PER_MINUTE": "3"}
    with another(settings, **more) as town:
        client = town.stranger()

        def tries(forwarded):
            body = {"refreshToken": "x"}
            header = {"X-Forwarded-For": forwarded}
            return [client.post("/api/auth/refresh", json=body, headers=header).status_code for _ in range(8)]

        assert 429 in tries("203.0.113.7")
        assert 429 not in tries("203.0.113.8")[:3]
        assert 429 in tries("6.6.6.6, 203.0.113.8, 10.1.1.1")[:4]


def test_without_redis_everything_works_and_ready_says_degraded(app, settings):
    with another(settings, LAUNCHDB_REDIS_URL="redis://127.0.0.1:1") as town:
        owner = town.owner()
        assert owner.project()["status"] == "provisioning"
        ready = owner.get("/api/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["dependencies"]["redis"]["status"] == "unavailable"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_postgres_nothing_is_promised(app, settings):
    with another(settings, LAUNCHDB_DATABASE_URL="postgresql://u:the-password@127.0.0.1:1/x") as town:
        person = town.stranger(Authorization=f"Bearer {town.token('own_' + '0' * 32)}")
        answer = person.post("/api/projects", json={"name": "a"})
        problem(answer, 503)
        assert answer.headers["Retry-After"]
        assert "the-password" not in answer.text
        assert person.get("/api/ready").status_code == 503
        assert person.get("/api/health").json() == {"status": "ok", "service": "platform-api"}


def test_more_waiting_requests_than_allowed_are_not_kept_waiting(app, settings):
    with another(settings, LAUNCHDB_EVENT_STREAMS="1") as town:
        owner = town.owner()
        job = owner.project()["currentJob"]
        assert town.app.extensions["launchdb"].slots.acquire("somebody else")
        problem(owner.get(f"/api/jobs/{job}/events"), 503)
        assert owner.get(f"/api/jobs/{job}?wait=30").status_code == 200
        answer = owner.post("/api/projects", json={"name": "b"}, headers={"Prefer": "wait=30"})
        assert (answer.status_code, answer.headers.get("Preference-Applied")) == (202, None)


def test_metrics_name_rules_and_never_ids(town, app):
    owner = town.owner()
    project = owner.project()["id"]
    owner.get(f"/api/projects/{project}")
    text = create_internal_app(app).test_client().get("/metrics").text
    assert 'launchdb_http_requests_total{method="GET",route="/api/projects/<project_id>",status="200"} 1.0' in text
    assert 'launchdb_jobs{kind="project.provision",status="queued"} 1.0' in text
    assert project not in text
