"""Settings through the API: shown, changed, refused member by member, and never lost to a second writer."""

from __future__ import annotations

import pytest

from app.data.config import DataConfig, from_text
from infra.instances.auth_files import AuthSpec
from tests.app.test_bad_input import problem
from tests.app.test_projects import working

BAD = [
    ({"maxRows": 0}, "/maxRows"),
    ({"maxRows": "5"}, "/maxRows"),
    ({"maxRows": 5.0}, "/maxRows"),
    ({"maxRows": True}, "/maxRows"),
    ({"max_rows": 5}, "/max_rows"),
    ({"nonsense": 1}, "/nonsense"),
    ({"version": 3}, "/version"),
    ({"schemas": []}, "/schemas"),
    ({"schemas": "public"}, "/schemas"),
    ({"schemas": ["public", "auth"]}, "/schemas/1"),
    ({"schemas": ["pg_catalog"]}, "/schemas/0"),
    ({"schemas": ['a", "b']}, "/schemas/0"),
    ({"schemas": ["public", "public"]}, "/schemas"),
    ({"schemas": ["x" * 64]}, "/schemas/0"),
    ({"corsOrigins": ["*"]}, "/corsOrigins/0"),
    ({"corsOrigins": ["https://a.example.org/"]}, "/corsOrigins/0"),
    ({"corsOrigins": ["https://A.example.org"]}, "/corsOrigins/0"),
    ({"corsOrigins": ["https://a.example.org:0"]}, "/corsOrigins/0"),
    ({"corsOrigins": ["null"]}, "/corsOrigins/0"),
    ({"corsOrigins": ["https://a.example.org\nx: y"]}, "/corsOrigins/0"),
    ({"ratePerMinute": 0}, "/ratePerMinute"),
    ({"bodyBytes": 10**9}, "/bodyBytes"),
    ({"transactionEnd": "never"}, "/transactionEnd"),
    ({"extraSearchPath": ["auth"]}, "/extraSearchPath/0"),
    ({"aggregates": "yes"}, "/aggregates"),
    ({"connections": 7}, "/connections"),
    ({"connections": 31}, "/connections"),
    ({"statementSeconds": 121}, "/statementSeconds"),
    ({"statementSeconds": -1}, "/statementSeconds"),
    ({"accessTokenSeconds": 59}, "/accessTokenSeconds"),
    ({"accessTokenSeconds": 3600, "refreshTokenSeconds": 3600}, "/refreshTokenSeconds"),
    ({"passwordMinLength": 73}, "/passwordMinLength"),
    ({"passwordCharacters": ["lower", "lower"]}, "/passwordCharacters"),
    ({"signUp": "yes"}, "/signUp"),
    ({"siteUrl": "javascript:alert(1)"}, "/siteUrl"),
    ({"siteUrl": "https://*.example.org"}, "/siteUrl"),
    ({"redirectUrls": ["https://*"]}, "/redirectUrls/0"),
    ({"redirectUrls": ["https://*.org/"]}, "/redirectUrls/0"),
    ({"redirectUrls": ["https://app.example.org@evil.example/"]}, "/redirectUrls/0"),
    ({"redirectUrls": ["data://text/html"]}, "/redirectUrls/0"),
    ({"smtpHost": "localhost"}, "/smtpHost"),
    ({"smtpHost": "127.0.0.1"}, "/smtpHost"),
    ({"smtpHost": "169.254.169.254"}, "/smtpHost"),
    ({"smtpHost": "0x7f000001"}, "/smtpHost"),
    ({"smtpHost": "mail.example.org"}, "/mailFrom"),
    ({"smtpPort": 6379}, "/smtpPort"),
    ({"smtpSecurity": "none"}, "/smtpSecurity"),
    ({"smtpPassword": ""}, "/smtpPassword"),
    ({"mailFrom": "a@b\r\nBcc: c@d"}, "/mailFrom"),
    ({"mailFromName": "a\nBcc: b"}, "/mailFromName"),
    ({"mailTemplates": {"nonsense": None}}, "/mailTemplates/nonsense"),
    ({"mailTemplates": {"recovery": {"subject": "a\nb", "body": "{{ .Token }}"}}}, "/mailTemplates/recovery/subject"),
    ({"mailTemplates": {"recovery": {"subject": "a", "body": "no way in"}}}, "/mailTemplates/recovery/body"),
    ({"mailTemplates": {"recovery": {"subject": "a", "body": "{{ .Token }}{{ .X }}"}}}, "/mailTemplates/recovery/body"),
    ({"oauthProviders": {"nonsense": {"clientId": "a"}}}, "/oauthProviders/nonsense/[key]"),
    ({"oauthProviders": {"google": {}}}, "/oauthProviders/google/clientId"),
    ({"oauthProviders": {"google": {"clientId": "a", "secret": "b"}}}, "/oauthProviders/google/secret"),
    ({"oauthProviders": {"keycloak": {"clientId": "a"}}}, "/oauthProviders/keycloak/issuer"),
    ({"oauthProviders": {"keycloak": {"clientId": "a", "issuer": "file:///etc"}}}, "/oauthProviders/keycloak/issuer"),
    ({"oauthProviders": {"google": {"clientId": "a", "issuer": "https://u@h/"}}}, "/oauthProviders/google/issuer"),
    ({"oauthSecrets": {"google": ""}}, "/oauthSecrets/google"),
    ({"captchaProvider": "recaptcha"}, "/captchaProvider"),
    ({"sessionSeconds": -1}, "/sessionSeconds"),
    ({"hookSendEmail": "letters"}, "/hookSendEmail"),
    ({"hookSendEmail": "https://example.org/letters"}, "/hookSendEmail"),
    ({"hookSendEmail": "pg-functions://elsewhere/public/letters"}, "/hookSendEmail"),
    (
        {"mailTemplates": {"recovery": {"subject": "a", "body": "<script>{{ .Token }}</script>"}}},
        "/mailTemplates/recovery/body",
    ),
    (
        {"mailTemplates": {"recovery": {"subject": "a", "body": "{{ .Token }}", "text": "x"}}},
        "/mailTemplates/recovery/text",
    ),
    (
        {"mailTemplates": {"reauthentication": {"subject": "a", "body": "{{ .TokenHash }}"}}},
        "/mailTemplates/reauthentication/body",
    ),
    ({"otpLength": 5}, "/otpLength"),
    ({"mailIntervalSeconds": -1}, "/mailIntervalSeconds"),
    ({"fileBytes": 2**33}, "/fileBytes"),
    ({"idleMinutes": -1}, "/idleMinutes"),
]


@pytest.fixture
def services():
    """The projects' own APIs too, as when embedded."""
    return ("platform", "data")


@pytest.fixture
def project(owner, engine):
    """The path of an active project."""
    made = owner.project()["id"]
    engine.runner.drain()
    return f"/api/projects/{made}"


@pytest.fixture
def waiting(owner):
    """The path of the settings of a project that waits to be provisioned."""
    return f"/api/projects/{owner.project()['id']}/settings"


def test_what_was_never_set_has_its_default(owner, waiting):
    found = owner.get(waiting).json()
    assert (found["version"], found["appliedVersion"], found["changed"]) == (0, 0, [])
    wanted = {"accessTokenSeconds": 900, "refreshTokenSeconds": 604_800, "maxRows": 1000, "fileBytes": 52_428_800}
    assert wanted.items() <= found["settings"].items()
    assert found["settings"]["schemas"] == ["public", "storage"]
    assert found["secrets"] == {"smtpPassword": False, "captchaSecret": False}


def test_a_data_api_that_nobody_has_set_anything_of_runs_as_the_guide_says(project, town):
    config = from_text((town.settings.instances_folder / project.rpartition("/")[2] / "data-api.conf").read_text())
    assert (config.db_max_rows, config.db_prepared_statements, config.db_schemas) == (1000, True, ("public", "storage"))
    # Ten where nobody says how many; a project's are as many as PgBouncer has sessions for it.
    assert (DataConfig().db_pool, config.db_pool) == (10, 5)


def test_an_installations_own_values_are_the_defaults(owner, waiting, town):
    town.app.extensions["launchdb"].settings = town.settings.model_copy(update={"data_max_rows": 77})
    assert owner.get(waiting).json()["settings"]["maxRows"] == 77


def test_a_change_merges_and_null_puts_back_the_default(owner, waiting):
    first = owner.patch(waiting, json={"idleMinutes": 9}).json()
    assert (first["version"], first["appliedVersion"]) == (1, 1), "no job is needed for what is looked at anyway"
    second = owner.patch(waiting, json={"databaseQuotaMb": 3}).json()
    assert (second["version"], second["changed"]) == (2, ["databaseQuotaMb", "idleMinutes"])
    third = owner.patch(waiting, json={"idleMinutes": None})
    assert third.status_code == 200
    found = owner.get(waiting).json()
    assert found == third.json()
    assert (found["version"], found["changed"]) == (3, ["databaseQuotaMb"])
    assert (found["settings"]["databaseQuotaMb"], found["settings"]["idleMinutes"]) == (3, 0)


def test_a_change_that_changes_nothing_raises_no_version(owner, waiting):
    owner.patch(waiting, json={"signUp": False})
    for body in ({}, {"signUp": False}, {"maxRows": None}):
        answer = owner.patch(waiting, json=body)
        assert (answer.status_code, answer.json()["version"]) == (200, 1)


def test_mail_templates_are_replaced_one_by_one(owner, waiting):
    mail = {"subject": "Welcome to {{ .SiteURL }}", "body": "<a href='{{ .ConfirmationURL }}'>go</a>", "text": None}
    owner.patch(waiting, json={"mailTemplates": {"recovery": mail, "invite": mail}})
    found = owner.patch(waiting, json={"mailTemplates": {"invite": None}}).json()["settings"]["mailTemplates"]
    others = dict.fromkeys(["confirmation", "magicLink", "invite", "emailChange", "reauthentication"])
    assert found == {"recovery": mail, **others}
    assert owner.patch(waiting, json={"mailTemplates": None}).json()["changed"] == []


def test_what_does_not_fit_is_refused_with_a_pointer_and_changes_nothing(owner, waiting):
    for body, pointer in BAD:
        more = {} if "signUp" in body else {"signUp": False}
        refused = problem(owner.patch(waiting, json={**more, **body}), 422)
        assert refused["errors"][0]["pointer"] == pointer, body
    assert owner.get(waiting).json()["version"] == 0


def test_an_operator_may_set_more_than_the_installation_gives_everybody(town):
    boss = town.owner(operator=True)
    waiting = f"/api/projects/{boss.project()['id']}/settings"
    answer = boss.patch(waiting, json={"connections": 60, "ratePerMinute": 100_000})
    assert answer.status_code == 202
    assert answer.json()["settings"]["connections"] == 60
    problem(boss.patch(waiting, json={"connections": 1001}), 422)


def test_a_password_is_kept_in_the_vault_and_shown_nowhere(owner, waiting, town):
    mail = {"smtpHost": "mail.example.org", "mailFrom": "shop@example.org", "smtpPassword": "hush-hush-8812"}
    answer = owner.patch(waiting, json=mail, headers={"Idempotency-Key": "k"})
    assert answer.json()["secrets"] == {"smtpPassword": True, "captchaSecret": False}
    project = waiting.split("/")[3]
    assert "hush-hush" not in answer.text + owner.get(waiting).text
    for table in ("project_settings", "audit", "idempotency_keys", "jobs", "secrets"):
        assert not [row for row in town.rows(f"SELECT {table}::text AS it FROM {table}") if "hush-hush" in row["it"]]
    from catalog import secrets

    with town.infra.database.autocommit() as tx:
        assert secrets.read(tx, town.infra.vault, project, "smtp_password") == "hush-hush-8812"
    owner.patch(waiting, json={"smtpPassword": "another-one"})
    with town.infra.database.autocommit() as tx:
        assert secrets.read(tx, town.infra.vault, project, "smtp_password") == "another-one"
    assert owner.patch(waiting, json={"smtpPassword": None}).json()["secrets"] == {
        "smtpPassword": False,
        "captchaSecret": False,
    }
    assert owner.patch(waiting, json={"smtpPassword": None}).json()["version"] == 3, "there was none any more"


def test_providers_and_their_secrets_are_changed_one_by_one(owner, waiting, town):
    google, github = {"clientId": "shop", "scopes": "calendar"}, {"clientId": "other"}
    body = {
        "oauthProviders": {"google": google, "github": github},
        "oauthSecrets": {"google": "hush-1", "github": "hush-2"},
    }
    answer = owner.patch(waiting, json=body).json()
    assert answer["secrets"]["oauthSecrets.google"] is True
    assert answer["settings"]["oauthProviders"]["google"]["scopes"] == "calendar"
    assert answer["settings"]["oauthProviders"]["google"]["enabled"] is True
    answer = owner.patch(waiting, json={"oauthProviders": {"github": None}, "oauthSecrets": {"github": None}}).json()
    assert set(answer["settings"]["oauthProviders"]) == {"google"}
    assert {name for name in answer["secrets"] if name.startswith("oauth")} == {"oauthSecrets.google"}
    from catalog import secrets, settings

    with town.infra.database.autocommit() as tx:
        known = secrets.read_all(tx, town.infra.vault, waiting.split("/")[3])
    assert settings.auth_secrets(known) == {"oauth_secret_google": "hush-1"}
    assert "hush" not in owner.get(waiting).text


def test_a_change_that_somebody_has_overtaken_is_refused(owner, waiting):
    tag = owner.get(waiting).headers["ETag"]
    mine = owner.patch(waiting, json={"idleMinutes": 9}, headers={"If-Match": tag})
    assert mine.status_code == 200
    lost = problem(owner.patch(waiting, json={"idleMinutes": 8}, headers={"If-Match": tag}), 412)
    assert lost["type"] == "/problems/precondition-failed"
    assert owner.get(waiting).json()["settings"]["idleMinutes"] == 9
    again = owner.patch(waiting, json={"idleMinutes": 8}, headers={"If-Match": mine.headers["ETag"]})
    assert (again.status_code, again.json()["version"]) == (200, 2)
    for header in ("*", f'"x", {again.headers["ETag"]}'):
        assert owner.patch(waiting, json={}, headers={"If-Match": header}).status_code == 200
    for header in ("", "nonsense", f"W/{again.headers['ETag']}", '"1-"'):
        problem(owner.patch(waiting, json={"signUp": True}, headers={"If-Match": header}), 412)
    assert owner.get(waiting, headers={"If-None-Match": again.headers["ETag"]}).status_code == 304


def test_the_same_change_twice_under_one_key_is_one_change(owner, waiting, town):
    answers = [owner.patch(waiting, json={"usersQuota": 5}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.json()["version"] for answer in answers] == [1, 1]
    problem(owner.patch(waiting, json={"usersQuota": None}, headers={"Idempotency-Key": "k"}), 422)
    (row,) = town.rows("SELECT detail FROM audit WHERE action = 'project.settings' AND outcome = 'accepted'")
    assert row["detail"] == {"settings": ["usersQuota"]}


def test_a_project_of_somebody_else_is_not_there(owner, town):
    theirs = f"/api/projects/{town.owner().project()['id']}"
    for path in ("settings", "stats", "audit"):
        problem(owner.get(f"{theirs}/{path}"), 404)
        problem(town.stranger().get(f"{theirs}/{path}"), 401)
        problem(owner.get(f"/api/projects/proj_nonsense/{path}"), 404)
    problem(owner.patch(f"{theirs}/settings", json={"maxRows": 5}), 404)


def test_a_change_that_the_data_api_must_know_is_a_job(owner, project, engine):
    answer = owner.patch(f"{project}/settings", json={"maxRows": 5, "statementSeconds": 7})
    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "project.configure")
    assert (answer.json()["version"], answer.json()["appliedVersion"]) == (1, 0)
    assert owner.patch(f"{project}/settings", json={"signUp": False}).json()["appliedVersion"] == 0
    engine.runner.drain()
    found = owner.get(f"{project}/settings")
    assert (found.json()["version"], found.json()["appliedVersion"]) == (2, 2)
    result = owner.get(answer.headers["Location"]).json()["result"]
    assert (result["settingsVersion"], result["settings"]["maxRows"]) == (2, 5)
    with working(engine):
        waited = owner.patch(f"{project}/settings", json={"maxRows": 6}, headers={"Prefer": "wait=30"})
    assert (waited.status_code, waited.json()["appliedVersion"]) == (200, 3)
    assert "job" not in waited.json()


@pytest.mark.parametrize(
    "change", [{"signUp": False}, {"siteUrl": "https://shop.example.org"}, {"usersQuota": 5}, {"mailsPerHour": 3}]
)
def test_a_change_that_auth_must_know_is_a_job(owner, project, engine, infra, change):
    answer = owner.patch(f"{project}/settings", json=change)
    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "project.configure")
    engine.runner.drain()
    told = AuthSpec.from_json(infra.auth.path(project.rpartition("/")[2]).read_text())
    assert change.items() <= told.settings.items()
    assert owner.get(f"{project}/settings").json()["appliedVersion"] == 1


def test_a_project_that_is_going_takes_no_settings(owner, project):
    owner.delete(project)
    assert problem(owner.patch(f"{project}/settings", json={"maxRows": 5}), 409)["type"] == "/problems/project-busy"


def test_stats_count_tables_files_and_sessions(owner, project, town, engine):
    import psycopg

    url = owner.get(f"{project}/connection").json()["databaseUrl"]
    with psycopg.connect(url, autocommit=True) as login:
        login.execute("CREATE TABLE things AS SELECT generate_series(1, 500) AS id; ANALYZE things")
        with psycopg.connect(town.infra.database.conninfo, dbname=project.rpartition("/")[2], autocommit=True) as admin:
            admin.execute("INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
            admin.execute(
                "INSERT INTO storage.objects (bucket_id, name, metadata) VALUES"
                " ('b', 'one', '{\"size\": 100}'), ('b', 'two', '{\"size\": \"odd\"}')"
            )
        found = owner.get(f"{project}/stats").json()
    assert {"schema": "public", "tables": 1, "rows": 500} in found["tables"]
    assert found["tableCount"] == sum(row["tables"] for row in found["tables"])
    assert found["storage"] == {"objects": 2, "bytes": 100}
    assert found["connections"]["used"] >= 1
    assert found["connections"]["limit"] == 30
    assert found["databaseBytes"] > 1_000_000
    assert found["lastBackup"] is None


def test_stats_of_a_project_that_is_not_there_yet_or_cannot_be_seen(owner, project, town):
    pending = owner.project("other")["id"]
    problem(owner.get(f"/api/projects/{pending}/stats"), 409)
    name = project.rpartition("/")[2]
    with town.infra.database.autocommit() as tx:
        tx.execute(f'ALTER ROLE "{name}_dump" NOLOGIN')
    problem(owner.get(f"{project}/stats"), 503)


def test_the_audit_says_who_did_what_page_by_page(owner, waiting):
    path = waiting.replace("/settings", "/audit")
    owner.patch(waiting, json={"signUp": False}, headers={"X-Request-Id": "r-settings"})
    owner.patch(waiting, json={"signUp": 1})
    entries = owner.get(path).json()["audit"]
    assert [entry["action"] for entry in entries] == ["project.settings", "project.settings", "project.create"]
    assert (entries[0]["outcome"], entries[1]["outcome"]) == ("refused: invalid-input", "accepted")
    assert (entries[1]["actor"], entries[1]["requestId"]) == (owner.id, "r-settings")
    assert entries[1]["address"]
    paged, cursor = [], None
    while True:
        page = owner.get(path, params={"limit": 1, **({"cursor": cursor} if cursor else {})}).json()
        paged += page["audit"]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert paged == entries
    for bad in ("limit=0", "cursor=x", "cursor=WyJhIl0", "since=1"):
        problem(owner.get(f"{path}?{bad}"), 400)


def test_changes_at_once_are_all_kept_and_of_those_with_one_tag_only_the_first(owner, waiting):
    from concurrent.futures import ThreadPoolExecutor

    changes = [{"usersQuota": 7}, {"signUp": False}, {"idleMinutes": 9}, {"passwordMinLength": 8}, {"fileBytes": 5000}]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda body: owner.patch(waiting, json=body), changes))
    assert sorted(answer.json()["version"] for answer in answers) == [1, 2, 3, 4, 5]
    found = owner.get(waiting)
    assert all(body.items() <= found.json()["settings"].items() for body in changes)
    tag = {"If-Match": found.headers["ETag"]}
    with ThreadPoolExecutor(5) as pool:
        tries = pool.map(lambda number: owner.patch(waiting, json={"idleMinutes": number}, headers=tag), range(20, 25))
    assert sorted(answer.status_code for answer in tries) == [200, 412, 412, 412, 412]
