"""The nouns: projects, jobs, tokens and owners, while the API is down and a real worker runs."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from config.version import VERSION
from scripts.cli.client import Client
from scripts.stack.checkout import Checkout
from tests.cli.conftest import CHECKOUT
from tests.fixtures.projects import drop


@pytest.fixture
def worker(launchdb, home, tmp_path):
    """A worker process of that home."""
    environment = {"PATH": os.environ["PATH"], **launchdb.environment}
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "workers"], cwd=CHECKOUT, env=environment, stderr=log)
    yield process
    process.terminate()
    process.wait(30)


@pytest.fixture
def shop(launchdb, operator, worker, infra):
    """A project that the command line made."""
    made = launchdb.run("projects", "create", "shop", "--json", "--timeout", "60", timeout=70)
    assert made.code == 0, made.err
    yield made
    drop(infra, made.json["project"]["id"])


def test_a_created_project_is_active_and_each_step_was_told_once(launchdb, shop):
    assert shop.json["project"]["status"] == "active"
    assert shop.json["job"]["status"] == "succeeded"
    steps = shop.json["job"]["steps"]
    for number, step in enumerate(steps, 1):
        assert shop.err.count(f"[{number}/{len(steps)}] {step['title']}: done") == 1
    shown = launchdb.run("projects", "show", "shop")
    assert shop.json["project"]["id"] in shown.out
    assert "active" in launchdb.run("projects", "list").out


def test_a_connection_is_printed_to_whoever_owns_the_project(launchdb, shop):
    launchdb.environment["LAUNCHDB_PROJECT"] = "shop"
    found = launchdb.run("projects", "connection", "--json").json
    assert found["anonKey"] != found["serviceRoleKey"]
    assert found["databaseUrl"].startswith("postgresql://")


def test_a_name_that_is_taken_is_a_conflict(launchdb, shop):
    refused = launchdb.run("projects", "create", "shop")
    assert refused.code == 4
    renamed = launchdb.run("projects", "update", "shop", "--name", "market", "--json")
    assert renamed.code == 0, renamed.err
    assert launchdb.run("projects", "show", "market", "--json").json["name"] == "market"


def test_a_project_is_paused_resumed_restarted_and_vacuumed(launchdb, shop):
    for verb, told, status in (
        ("vacuum", "vacuumed", "active"),
        ("restart", "restarted", "active"),
        ("pause", "paused", "paused"),
        ("resume", "resumed", "active"),
    ):
        done = launchdb.run("projects", verb, "shop")
        assert done.code == 0, done.err
        assert told in done.out
        assert launchdb.run("projects", "show", "shop", "--json").json["status"] == status
    assert launchdb.run("projects", "resume", "shop").code == 4
    resized = launchdb.run("projects", "update", "shop", "--pool-size", "6")
    assert resized.code == 0, resized.err
    assert "6" in resized.out
    accepted = launchdb.run("projects", "restart", "shop", "--no-wait", "--json")
    assert accepted.json["job"]["kind"] == "project.restart"


def test_secrets_are_rotated(launchdb, shop):
    def connection():
        return launchdb.run("projects", "connection", "shop", "--json").json

    before = connection()
    done = launchdb.run("projects", "rotate", "shop", "--secret", "databasePassword")
    assert done.code == 0, done.err
    assert "databasePassword rotated" in done.out
    assert before["databaseUrl"] not in (connection()["databaseUrl"], done.out)
    keys = launchdb.run("projects", "rotate", "shop", "--secret", "jwtSecret", "--grace", "60")
    assert "the old keys are good until" in keys.out
    assert connection()["anonKey"] != before["anonKey"]
    fleet = launchdb.run("projects", "rotate", "--all", "--secret", "databasePassword", "--no-wait", "--json")
    assert (fleet.code, fleet.json["job"]["kind"]) == (0, "fleet.rotate"), fleet.err
    for arguments in (
        ("shop",),
        ("shop", "--secret", "masterKey"),
        ("shop", "--secret", "databasePassword", "--grace", "1"),
        ("shop", "--secret", "jwtSecret", "--grace", "-1"),
        ("shop", "--secret", "jwtSecret", "--all"),
    ):
        assert launchdb.run("projects", "rotate", *arguments).code == 2, arguments


def test_a_letter_is_shown_as_it_would_be_written(launchdb, shop, tmp_path):
    shown = launchdb.run("projects", "mail-preview", "shop", "recovery")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("Subject: Reset your password\n\n")
    templates = tmp_path / "templates.json"
    templates.write_text('{"recovery": {"subject": "Hi {{ .Data.name }}", "body": "<b>{{ .Token }}</b>"}}')
    options = ["--templates", str(templates), "--data", '{"name": "Ann"}']
    tried = launchdb.run("projects", "mail-preview", "shop", "recovery", *options, "--html")
    assert tried.out == "Subject: Hi Ann\n\n<b>123456</b>\n"
    read = launchdb.run(
        "projects", "mail-preview", "shop", "recovery", "--templates", "-", "--json", stdin=templates.read_text()
    )
    assert read.json["text"] == "123456\n"
    for wrong in (["nonsense"], ["shop", "nonsense"], ["shop", "recovery", "--data", "[]"], ["a", "b", "recovery"]):
        assert launchdb.run("projects", "mail-preview", *wrong).code == 2


def test_keys_are_made_listed_imported_and_revoked(launchdb, shop):
    made = launchdb.run("projects", "keys", "create", "shop", "the worker", "--type", "secret", "--json")
    assert made.code == 0, made.err
    key, key_id = made.json["apiKey"], made.json["key"]["id"]
    assert key.startswith("sb_secret_")
    listed = launchdb.run("projects", "keys", "list", "shop")
    assert "the worker" in listed.out
    assert key not in listed.out
    assert launchdb.run("projects", "keys", "revoke", "shop", key_id).code == 0
    assert launchdb.run("projects", "keys", "list", "shop", "--json").json == {"keys": []}
    secret = "s" * 40
    done = launchdb.run("projects", "keys", "import", "shop", stdin=f"JWT_SECRET='{secret}'\nPORT=1\n")
    assert done.code == 0, done.err
    assert secret not in done.out + done.err
    assert launchdb.run("projects", "keys", "import", "shop", stdin="ANON_KEY=x\n").code == 2


def test_signing_keys_stand_by_sign_and_are_revoked(launchdb, shop):
    def keys():
        return launchdb.run("projects", "signing-keys", "list", "shop", "--json").json

    assert launchdb.run("projects", "signing-keys", "create", "shop", "--algorithm", "RS256").code == 0
    assert [(key["algorithm"], key["state"]) for key in keys()["keys"]] == [("RS256", "standby")]
    assert launchdb.run("projects", "signing-keys", "rotate", "shop").code == 0
    first = keys()["signedBy"]
    assert launchdb.run("projects", "signing-keys", "rotate", "shop", "--algorithm", "ES256").code == 0
    assert launchdb.run("projects", "signing-keys", "revoke", "shop", first).code == 0
    assert {key["id"]: key["state"] for key in keys()["keys"]}[first] == "revoked"


def test_settings_are_shown_set_and_put_back(launchdb, shop):
    shown = launchdb.run("projects", "settings", "shop")
    assert shown.code == 0, shown.err
    assert "version 0, in force 0" in shown.out
    origins = "corsOrigins=https://a.example.org, https://b.example.org"
    done = launchdb.run("projects", "settings", "shop", "--set", "maxRows=7", "--set", origins, "--json")
    assert done.code == 0, done.err
    assert (done.json["version"], done.json["appliedVersion"], done.json["job"]["status"]) == (1, 1, "succeeded")
    assert done.json["settings"]["corsOrigins"] == ["https://a.example.org", "https://b.example.org"]
    back = launchdb.run("projects", "settings", "shop", "--unset", "maxRows", "--set", "signUp=false", "--json")
    assert (back.json["settings"]["maxRows"], back.json["settings"]["signUp"]) == (1000, False)
    for arguments in (("--set", "maxRows"), ("--set", "smtpPassword=hush"), ("--set", "a=1", "--unset", "a")):
        assert launchdb.run("projects", "settings", "shop", *arguments).code == 2
    assert launchdb.run("projects", "settings", "shop", "--set", "maxRows=0").code != 0
    secret = launchdb.run("projects", "settings", "shop", "--set", "smtpPassword=-", "--json", stdin="hush\n")
    assert secret.json["secrets"] == {"smtpPassword": True, "captchaSecret": False}


def test_stats_are_printed(launchdb, shop):
    found = launchdb.run("projects", "stats", "shop")
    assert found.code == 0, found.err
    assert "of 30" in found.out
    assert launchdb.run("projects", "stats", "shop", "--json").json["storage"] == {"objects": 0, "bytes": 0}


@pytest.mark.gpg
def test_a_project_is_deleted_only_when_its_name_is_given(launchdb, shop):
    for answer in ("", "market\n"):
        refused = launchdb.run("projects", "delete", "shop", stdin=answer)
        assert refused.code == 2
        assert "nothing was changed" in refused.err
    deleted = launchdb.run("projects", "delete", "shop", stdin="shop\n")
    assert deleted.code == 0, deleted.err
    assert launchdb.run("projects", "show", "shop").code == 5


def test_a_job_can_be_listed_shown_watched_and_asked_why(launchdb, shop):
    job = shop.json["job"]["id"]
    assert job in launchdb.run("jobs", "list", "--project", "shop").out
    assert job in launchdb.run("jobs", "list", "--all", "--kind", "project.provision").out
    assert "Create the database" in launchdb.run("jobs", "show", job).out
    assert launchdb.run("jobs", "why", job).out == "succeeded\n"
    assert launchdb.run("jobs", "watch", job).code == 0
    for refused in ("cancel", "retry"):
        assert launchdb.run("jobs", refused, job).code == 4


def test_a_job_without_a_worker_says_so_and_the_time_runs_out(launchdb, operator):
    waited = launchdb.run("projects", "create", "shop", "--timeout", "1")
    assert waited.code == 124
    assert "no worker serves it" in waited.err
    job = launchdb.run("jobs", "list", "--json").json["jobs"][0]["id"]
    assert "no worker serves it" in launchdb.run("jobs", "why", job).out
    cancelled = launchdb.run("jobs", "cancel", job)
    assert (cancelled.code, cancelled.out) == (0, f"{job} cancelled\n")
    assert launchdb.run("jobs", "watch", job).code == 3


def test_no_wait_returns_at_once_and_says_how_to_watch(launchdb, operator):
    accepted = launchdb.run("projects", "create", "shop", "--no-wait", "--json")
    assert accepted.code == 0
    assert accepted.json["job"]["status"] == "queued"
    assert f"launchdb jobs watch {accepted.json['job']['id']}" in accepted.err


def test_a_token_is_shown_once_and_signs_its_owner_in(launchdb, operator):
    made = launchdb.run("tokens", "create", "deploy", "--days", "30")
    assert made.code == 0, made.err
    launchdb.environment["LAUNCHDB_TOKEN"] = made.out.strip()
    listed = launchdb.run("tokens", "list")
    assert "deploy" in listed.out
    assert made.out.strip() not in listed.out
    assert launchdb.run("tokens", "delete", "deploy", "--yes").code == 0
    assert launchdb.run("tokens", "list").code == 6


def test_an_owner_is_promoted_and_listed_as_operator(launchdb, operator, infra):
    with infra.database.transaction() as tx:
        tx.execute("UPDATE owners SET is_operator = false")
    assert launchdb.run("projects", "list").code == 6
    assert launchdb.run("owners", "promote", "ROOT@example.org").code == 0
    listed = launchdb.run("owners", "list", "--json").json["owners"]
    assert [(owner["email"], owner["operator"]) for owner in listed] == [("root@example.org", True)]
    assert launchdb.run("projects", "list").code == 0


def test_an_owner_is_invited_and_gets_another_password_by_links_that_are_shown_once(launchdb, operator, infra):
    invited = launchdb.run("owners", "invite", "New@example.org")
    assert invited.code == 0, invited.err
    assert "/#invitation=ldbi_" in invited.out
    assert "not shown again" in invited.err
    made = launchdb.run("owners", "reset", "ROOT@example.org", "--json")
    assert made.code == 0, made.err
    assert made.json["link"].endswith(f"/#reset={made.json['token']}")
    assert launchdb.run("owners", "reset", "nobody@example.org").code == 5
    for said, most in (("7", 7), ("none", 0), ("default", None)):
        assert launchdb.run("owners", "quota", "ROOT@example.org", said).code == 0
        assert launchdb.run("owners", "list", "--json").json["owners"][0]["maxProjects"] == most
    assert [launchdb.run("owners", "quota", *words).code for words in (("nobody@example.org", "1"), ("x", "0"))] == [
        5,
        2,
    ]
    assert launchdb.run("owners", "invite", "root@example.org").code == 4
    assert launchdb.run("owners", "invite", "no-address").code == 2
    with infra.database.autocommit() as tx:
        kept = str(tx.rows("SELECT * FROM one_time_tokens, audit, idempotency_keys"))
    assert made.json["token"] not in kept


def test_a_promotion_leaves_a_row_in_the_audit(launchdb, operator, infra):
    assert launchdb.run("owners", "promote", "root@example.org").code == 0
    with infra.database.autocommit() as tx:
        rows = tx.rows("SELECT actor, owner_id FROM audit WHERE action = 'owner.promote'")
    assert rows == [{"actor": "operator", "owner_id": operator}]


def test_a_trial_mail_lies_in_the_mailbox_of_an_installation_without_a_server(launchdb, operator, worker, infra):
    sent = launchdb.run("mail", "test", "ann@example.org", "--timeout", "60", timeout=70)
    assert sent.code == 0, sent.err
    assert "taken by mailbox" in sent.out
    [letter] = launchdb.run("mailbox", "list", "--json").json["letters"]
    assert (letter["to"], letter["subject"]) == ("ann@example.org", "LaunchDB can send mail")
    assert letter["id"] in launchdb.run("mailbox").out
    assert "trial mail" in launchdb.run("mailbox", "show", letter["id"]).out
    for unknown in ("x", "../operator", "mail_" + "0" * 32):
        assert launchdb.run("mailbox", "show", unknown).code == 5
    assert launchdb.run("mail", "test", "no-address").code == 2


def test_a_trial_mail_that_the_server_refuses_fails_the_command_with_its_words(launchdb, operator, smtp, request):
    running = smtp.start()
    running.sink.at_rcpt.append("550 5.1.1 no such mailbox here")
    launchdb.environment |= running.environment
    request.getfixturevalue("worker")
    refused = launchdb.run("mail", "test", "ann@example.org", "--timeout", "60", timeout=70)
    assert refused.code == 3
    assert "550 5.1.1 no such mailbox here" in refused.err
    sent = launchdb.run("mail", "test", "ann@example.org", "--json", "--timeout", "60", timeout=70)
    assert sent.json["job"]["result"]["takenBy"] == f"127.0.0.1:{running.port}"
    assert [message["To"] for message in running.sink.messages] == ["ann@example.org"]


def test_where_mail_is_off_the_commands_say_so(launchdb, operator):
    launchdb.environment["LAUNCHDB_ENV"] = "production"
    off = launchdb.run("mail", "test", "ann@example.org")
    assert (off.code, "SMTP_HOST is not set" in off.err) == (4, True)
    assert "mail is off" in launchdb.run("mailbox").err


def test_status_names_what_is_down_and_counts_what_runs(launchdb, worker, shop):
    found = launchdb.run("status", "--json")
    assert found.code == 1
    services = {service["name"]: service["status"] for service in found.json["services"]}
    assert services == {"api": "down", "postgres": "up", "redis": "up", "worker": "up", "scheduler": "down"}
    assert found.json["projects"] == {"active": 1}
    assert (found.json["version"], found.json["commit"]) == (VERSION, Checkout.here().commit())
    assert f"version: {VERSION}" in launchdb.run("status").out
    assert "api is down" in found.err


def test_status_says_what_wants_attention_and_why(launchdb, worker, shop, infra):
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status_reason = 'not as it should be: a role is gone'")
        tx.execute(
            "INSERT INTO jobs (id, kind, queue, status, args, error, created_by, finished_at, ready)"
            " VALUES ('job_00000000000000000000000000000001', 'project.vacuum', 'bulk', 'failed', '{}',"
            " '{\"detail\": \"the disk is full\"}', 'system', now(), false)"
        )
    assert launchdb.run("queues", "pause", "bulk").code == 0
    found = launchdb.run("status", "--json").json["attention"]
    project = shop.json["project"]["id"]
    assert found == [
        {"what": "queue is paused", "subject": "bulk", "detail": found[0]["detail"], "see": None},
        {"what": "project differs", "subject": project, "detail": "not as it should be: a role is gone", "see": None},
        {
            "what": "project.vacuum failed",
            "subject": None,
            "detail": "the disk is full",
            "see": "job_00000000000000000000000000000001",
        },
    ]
    told = launchdb.run("status").out
    for words in ("WANTS ATTENTION", "a role is gone", "the disk is full", "wants attention: 3"):
        assert words in told


def test_workers_and_queues_are_listed_paused_and_resumed(launchdb, worker, shop):
    found = launchdb.run("workers", "--json").json["workers"]
    assert [entry["pid"] for entry in found] == [worker.pid]
    assert found[0]["name"] in launchdb.run("workers").out
    paused = launchdb.run("queues", "pause", "control", "--json").json
    assert (paused["name"], paused["pausedAt"] is None) == ("control", False)
    waiting = launchdb.run("projects", "restart", "shop", "--no-wait", "--json").json["job"]["id"]
    assert "is paused" in launchdb.run("jobs", "why", waiting).out
    listed = launchdb.run("queues", "list").out
    assert "CONTROL" not in listed
    assert next(line for line in listed.splitlines() if line.startswith("control")).split()[1] == "1"
    assert launchdb.run("queues", "resume", "control").code == 0
    assert launchdb.run("jobs", "watch", waiting).code == 0
    assert launchdb.run("queues", "pause", "nonsense").code == 5


def test_capacity_plans_for_the_number_of_projects_that_is_asked_for(launchdb, operator):
    few, many = (launchdb.run("capacity", "--projects", number, "--json").json for number in ("3", "100"))
    assert (few["projects"], many["projects"]) == (3, 100)
    assert many["memoryMb"] > few["memoryMb"]
    assert launchdb.run("capacity", "--json").json["projects"] == 0


def test_what_a_path_asks_for_and_what_is_asked_beside_it_both_arrive():
    asked = []

    def application(environ, start_response):
        asked.append(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b"{}"]

    with httpx.Client(transport=httpx.WSGITransport(app=application), base_url="http://api.test") as http:
        client = Client(http)
        client.get("/api/things?name=a")
        client.get("/api/things?name=a", limit=3, kind=None)
        client.delete("/api/things?purge=true", kind="b")
    assert asked == ["name=a", "name=a&limit=3", "purge=true&kind=b"]


def test_workers_and_queues_are_operators_business(launchdb, shop, infra):
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE owners SET is_operator = false")
    for arguments in (("workers",), ("queues", "list"), ("queues", "pause", "bulk")):
        assert launchdb.run(*arguments).code in (5, 6), arguments


def test_status_shows_the_rest_while_the_database_is_away(launchdb, home, unused_port):
    (home / "log").mkdir()
    (home / "log" / "postgres.log").write_text("the end")
    launchdb.environment["LAUNCHDB_DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{unused_port}/postgres"
    found = launchdb.run("status")
    assert found.code == 1
    assert f"postgres is down; its log is {home}/log/postgres.log" in found.err
    assert "redis" in found.out
