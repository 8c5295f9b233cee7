"""When it is our fault, or our database's: what is told, what is done again, and what stays written."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import psycopg
import pytest

from infra.secrets import secretfiles
from tests.app.conftest import PASSWORD
from tests.app.server import served
from tests.app.test_bad_input import problem

# A trigger that lets the first tries of an insertion lose a race, as Postgres itself would say it.
LOSES = """
CREATE SEQUENCE tries;
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'lost' USING ERRCODE = '{state}'; END IF;
    RETURN NEW;
END$$;
CREATE TRIGGER lose BEFORE INSERT ON projects FOR EACH ROW EXECUTE FUNCTION lose();
"""


def test_a_fault_of_ours_tells_its_request_id_and_nothing_else(town, caplog):
    owner = town.owner()
    with town.infra.database.autocommit() as tx:
        tx.execute("ALTER TABLE projects RENAME TO hidden")
    for answer in (owner.get("/api/projects"), owner.post("/api/projects", json={"name": "a"})):
        told = [word for word in ("hidden", "relation") if word in answer.text]
        assert told == [], "A fault of ours tells its request id and nothing of what went wrong"
        found = problem(answer, 500)
        assert set(found) == {"type", "title", "status", "detail", "instance", "requestId"}
        assert found["type"] == "/problems/internal"
    assert 'relation "projects" does not exist' in caplog.text


@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_a_lost_race_is_run_again_and_nobody_notices(town, state, headers):
    owner = town.owner()
    with town.infra.database.autocommit() as tx:
        tx.execute(LOSES.format(times=2, state=state))
    assert owner.post("/api/projects", json={"name": "a"}, headers=headers).status_code == 202
    counts = [town.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in ("projects", "jobs", "audit")]
    assert counts == [1, 1, 1]


def test_races_that_are_lost_for_ever_are_said_to_be_unavailable(town):
    owner = town.owner()
    with town.infra.database.autocommit() as tx:
        tx.execute(LOSES.format(times=1000, state="40001"))
    answer = owner.post("/api/projects", json={"name": "a"}, headers={"Idempotency-Key": "k"})
    assert problem(answer, 503)["type"] == "/problems/unavailable"
    assert answer.headers["Retry-After"]
    with town.infra.database.autocommit() as tx:
        tx.execute("DROP TRIGGER lose ON projects")
    assert owner.post("/api/projects", json={"name": "a"}, headers={"Idempotency-Key": "k"}).status_code == 202


def test_two_servers_on_one_database_do_what_has_one_key_once(town, settings, tmp_path):
    owner = town.owner()
    second = SimpleNamespace(home=tmp_path / "second", database_url=settings.database_url, redis_url=settings.redis_url)
    _same_secrets(settings.secrets_folder, second.home)
    headers = {**owner.client.headers, "Idempotency-Key": "the-one"}
    few = {"LAUNCHDB_DATABASE_POOL_SIZE": "4"}
    with served(settings, **few) as one, served(second, **few) as two, httpx.Client(timeout=60) as client:

        def post(number):
            url = (one, two)[number % 2]
            answer = client.post(f"{url}/api/projects", json={"name": "one"}, headers=headers)
            return answer.status_code, answer.json()["project"]["id"], answer.headers.get("Idempotency-Replayed")

        with ThreadPoolExecutor(16) as crowd:
            found = Counter(crowd.map(post, range(200)))
    project = town.rows("SELECT id FROM projects")[0]["id"]
    assert found == {(202, project, None): 1, (202, project, "true"): 199}
    assert [len(town.rows(f"SELECT id FROM {table}")) for table in ("projects", "jobs", "audit")] == [1, 1, 1]


def test_one_key_on_two_routes_stands_for_two_requests(town):
    owner, key = town.owner(), {"Idempotency-Key": "k"}
    assert owner.post("/api/projects", json={"name": "a"}, headers=key).status_code == 202
    assert owner.post("/api/tokens", json={"name": "a"}, headers=key).status_code == 201
    other = town.owner().post("/api/projects", json={"name": "a"}, headers=key)
    assert other.status_code == 202
    assert "Idempotency-Replayed" not in other.headers, "The key of one owner stands for nothing of another's"
    assert len(town.rows("SELECT id FROM projects")) == 2


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
def test_what_the_audit_says_stays_said(town, change):
    town.owner().project()
    with pytest.raises(psycopg.errors.InsufficientPrivilege), town.infra.database.autocommit() as tx:
        tx.execute(change)
        pytest.fail(f"What the audit says stays said: {change}")
    assert len(town.rows("SELECT id FROM audit")) == 1


@pytest.mark.parametrize("member", ["owner_id", "ownerId", "id", "status", "state", "role", "isOperator", "createdAt"])
def test_members_that_are_not_the_callers_to_set_are_refused(town, member):
    owner = town.owner()
    project = owner.project()["id"]
    status = owner.post("/api/projects", json={"name": "b", member: "x"}).status_code
    assert status == 422, f"A member that is not the caller's to set is refused: {member}"
    problem(owner.patch(f"/api/projects/{project}", json={"name": "b", member: "x"}), 422)
    person = {"email": "eve@example.org", "password": PASSWORD, member: "x"}
    problem(town.stranger().post("/api/auth/register", json=person), 422)
    assert [row["name"] for row in town.rows("SELECT name FROM projects")] == ["demo"]


def test_of_refresh_tokens_used_at_once_one_is_good_at_most(town):
    owner = town.signed_in()
    body = {"refreshToken": owner.sign_in["refreshToken"]}
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: town.stranger().post("/api/auth/refresh", json=body), range(16)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 15}
    last = next(answer for answer in answers if answer.status_code == 200).json()["refreshToken"]
    problem(town.stranger().post("/api/auth/refresh", json={"refreshToken": last}), 401)


def test_a_newline_in_what_is_sent_forges_no_log_line(town, settings):
    owner = town.owner()
    with served(settings) as url:
        headers = {"Authorization": owner.client.headers["Authorization"]}
        forged = 'x\n{"event": "forged"}'
        httpx.post(f"{url}/api/auth/login", json={"email": forged, "password": forged})
        httpx.post(f"{url}/api/projects", json={"name": forged}, headers=headers)
        httpx.get(f"{url}/api/projects/%0a%7b%22event%22:%20%22forged%22%7d", headers=headers)
    lines = (settings.home / "api.log").read_text().splitlines()
    assert "forged" not in [json.loads(line).get("event") for line in lines if line.startswith("{")]


@pytest.mark.full
def test_fifty_sign_ins_at_once_stay_within_300_mib(town, settings):
    person = {"email": town.registered().email, "password": "wrong password"}
    more = {"SIGN_IN_RATE_PER_MINUTE": "1000"}
    with served(settings, **more) as url, httpx.Client(timeout=60) as client:
        assert client.post(f"{url}/api/auth/login", json={**person, "password": PASSWORD}).status_code == 200
        before = _peak_mib(url.pid)
        with ThreadPoolExecutor(50) as crowd:
            found = Counter(
                crowd.map(lambda _: client.post(f"{url}/api/auth/login", json=person).status_code, range(50))
            )
        assert set(found) <= {401, 429, 503}
        assert _peak_mib(url.pid) - before < 300


def _peak_mib(pid):
    """The most memory that a server's processes have held so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = [Path(f"/proc/{each}/status").read_text() for each in (pid, *children)]
    return sum(int(text.partition("VmHWM:")[2].split()[0]) for text in status) / 1024


def _same_secrets(folder, home):
    into = home / folder.name
    into.mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    for file in folder.iterdir():
        copy = into / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o600)
    secretfiles.ensure(into, home / ".env")
