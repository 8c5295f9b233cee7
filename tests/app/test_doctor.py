"""The doctor of the platform API: findings with evidence and remedy, and jobs that mend what jobs can."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.factory import create_app
from app.platform.operations.internal import create_internal_app
from app.server.shares import FIGURES, Lane
from config.settings import load
from infra.edge.certificates import Certificate
from jobs.requests import doctor
from tests.fixtures.projects import add_project

DOMAIN = "api.example.org"


@pytest.fixture
def boss(town):
    """An operator."""
    return town.owner(operator=True)


def findings(person) -> dict:
    answer = person.get("/api/admin/doctor")
    assert answer.status_code == 200, answer.text
    return {(one["check"], one["subject"]): one for one in answer.json()["findings"]}


def test_each_check_says_what_it_saw(boss):
    found = findings(boss)
    assert {check for check, _ in found} == {*doctor.CHECKS, "shares"}
    assert found["projects", ""]["status"] == "ok"
    assert found["workers", "control"]["status"] == "failure"
    assert "a copy of LAUNCHDB_MASTER_KEY" in found["secrets", "masterKey"]["evidence"]
    assert all(one["remedy"] for one in found.values() if one["status"] in ("warning", "failure"))


def test_a_project_that_differs_is_reconciled_by_a_job(boss, town, infra, master_key):
    project = add_project(infra, status="active")
    failed = add_project(infra, status="failed")
    town.rows("UPDATE projects SET drift = '{a role is missing}' WHERE id = %s RETURNING id", (project,))
    found = findings(boss)
    assert (found["projects", project]["status"], found["projects", project]["fixable"]) == ("warning", True)
    assert "a role is missing" in found["projects", project]["evidence"]
    assert (found["projects", failed]["status"], found["projects", failed]["fixable"]) == ("failure", False)
    answer = boss.post("/api/admin/doctor/projects/fix")
    assert answer.status_code == 202
    (job,) = answer.json()["jobs"]
    assert (job["kind"], job["projectId"]) == ("project.reconcile", project)
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    (audited,) = town.rows("SELECT actor, detail FROM audit WHERE action = 'doctor.fix'")
    assert audited == {"actor": boss.id, "detail": {"check": "projects", "jobs": 1}}


def test_what_no_job_mends_is_not_found_and_nothing_to_mend_is_fine(boss):
    for check in ("secrets", "no-such-check"):
        answer = boss.post(f"/api/admin/doctor/{check}/fix")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/check-not-found")
    answer = boss.post("/api/admin/doctor/projects/fix")
    assert (answer.status_code, answer.json()) == (200, {"jobs": []})


@pytest.mark.parametrize(
    ("tls", "days", "name", "trusted", "status", "said"),
    [
        ("auto", 60, DOMAIN, True, "ok", "is good until"),
        ("auto", 60, "*.example.org", True, "ok", "is good until"),
        ("auto", 13, DOMAIN, True, "warning", "ought to have been renewed"),
        ("auto", -1, DOMAIN, True, "failure", "it has ended"),
        ("auto", 60, "other.example.org", True, "failure", f"is not for {DOMAIN}"),
        ("auto", 60, DOMAIN, False, "failure", "no authority that machines know"),
        # Caddy's own authority gives certificates for half a day, and nobody knows it.
        ("internal", 0.5, DOMAIN, False, "ok", "is good until"),
        ("internal", -1, DOMAIN, False, "failure", "it has ended"),
    ],
)
def test_a_certificate_that_clients_will_not_take_is_named_before_they_do(tls, days, name, trusted, status, said):
    ends = datetime.now(UTC) + timedelta(days=days)
    shown = Certificate("CN=An Authority", f"CN={name}", (name,), ends, trusted)
    found = doctor.judge_certificate(shown, load({"DOMAIN": DOMAIN, "LAUNCHDB_TLS": tls}, recall=False))
    assert (found.check, found.status) == ("certificate", status)
    assert said in found.evidence
    assert bool(found.remedy) == (status != "ok")


def test_it_is_there_for_operators_alone(town):
    assert town.owner().get("/api/admin/doctor").status_code == 404
    assert town.owner().post("/api/admin/doctor/projects/fix").status_code == 404


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, "ok"),
        ({"LAUNCHDB_ENV": "production"}, "ok"),
        ({"LAUNCHDB_ENV": "production", "REGISTRATION": "open"}, "warning"),
        ({"LAUNCHDB_ENV": "production", "REGISTRATION": "invite"}, "ok"),
    ],
)
def test_open_registration_in_production_is_a_warning(environment, status):
    (found,) = doctor.registration(None, load(environment, recall=False))
    assert found.status == status


def test_weak_secrets_are_named_without_their_value(boss, settings):
    (settings.secrets_folder / "POSTGREST_ADMIN_KEY").write_text("changeme")
    found = [one for (check, _), one in findings(boss).items() if check == "secrets"]
    assert any("POSTGREST_ADMIN_KEY is weak" in one["evidence"] for one in found)
    (settings.secrets_folder / "INTERNAL_API_KEY").unlink()
    assert "could not be looked at" in findings(boss)["secrets", ""]["evidence"]


def test_who_was_refused_for_using_up_their_share_is_named_and_counted(boss, town):
    project = "proj_0123456789abcdef"
    try:
        for _ in range(3):
            FIGURES.refuse(Lane("project", project))
        [found] = [one for one in boss.get("/api/admin/doctor").json()["findings"] if one["subject"] == project]
        assert (found["status"], found["subject"]) == ("warning", project)
        assert "3 requests were refused" in found["evidence"]
        metrics = create_internal_app(create_app(town.infra.settings, town.infra)).test_client().get("/metrics").text
        assert project not in metrics, "there would be one of each that ever asked"
    finally:
        FIGURES.last.clear()
        FIGURES.refused.clear()
