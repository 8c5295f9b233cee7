"""Every route with every sort of credential: the right problem, never a 500, and nothing changed."""

from __future__ import annotations

import base64
import hmac
import json
import time

import jwt
import pytest

from app.factory import operations
from app.platform.operations.models_operator import PlatformRotation
from catalog import owners, sessions
from catalog.ids import new_id
from infra.secrets import secretfiles, tokens
from infra.signals.doorbell import connect
from jobs.engine.schedules import declare
from tests.app.conftest import PASSWORD
from tests.app.test_bad_input import problem

ROUTES = [operation for operation in operations() if operation.who != "anyone"]


def claims(**more):
    now = int(time.time())
    good = {"iss": "launchdb", "aud": "launchdb:platform", "typ": "access", "sub": "", "iat": now - 5, "exp": now + 600}
    return {name: value for name, value in {**good, **more}.items() if value is not ...}


def unsigned(alg, payload):
    parts = [json.dumps({"alg": alg, "typ": "JWT"}), json.dumps(payload)]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + "."


def hashed(alg, payload, key):
    """Sign with another HMAC than ours, which a library would warn about."""
    head = unsigned(alg, payload)[:-1]
    mac = hmac.digest(key.encode(), head.encode(), f"sha{alg[2:]}")
    return f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def spelled_otherwise(token):
    """The same bytes once more: of the last character of a signature two bits count for nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def forged(key, owner_id):
    """Every token that must be refused, by what is wrong with it."""

    def signed(payload, with_key=key, headers=None):
        # As a signer other than a library would: that one refuses a subject that is no text.
        text = json.dumps({"sub": owner_id, **payload}).encode()
        return jwt.PyJWS().encode(text, with_key, algorithm="HS256", headers=headers)

    good, now = claims(sub=owner_id), int(time.time())
    return {
        "two parts": "a.b",
        "100 KB": "a" * 100_000,
        "none": unsigned("none", good),
        "NONE": unsigned("NONE", good),
        "nOnE": unsigned("nOnE", good),
        "HS384": hashed("HS384", good, key),
        "HS512": hashed("HS512", good, key),
        "another key": signed(good, with_key="another key, as long as one must be"),
        "a kid": signed(good, headers={"kid": "../../dev/null"}),
        "a jku": signed(good, headers={"jku": "https://evil.example/keys"}),
        "a jwk": signed(good, headers={"jwk": {"kty": "oct", "k": "AA"}}),
        "an x5u": signed(good, headers={"x5u": "https://evil.example/x"}),
        "crit": signed(good, headers={"crit": ["x"], "x": 1}),
        "expired a second ago": signed(claims(sub=owner_id, exp=now - 1)),
        "no end": signed(claims(sub=owner_id, exp=...)),
        "an end as text": signed(claims(sub=owner_id, exp=str(now + 600))),
        "an end with a fraction": signed(claims(sub=owner_id, exp=now + 600.5)),
        "an end in the year 9999": signed(claims(sub=owner_id, exp=253_370_764_800)),
        "a life that we give none": signed(claims(sub=owner_id, exp=now + tokens.LONGEST_LIFE_SECONDS + 1)),
        "an end before its issue": signed(claims(sub=owner_id, iat=now - 5, exp=now - 10)),
        "padding": signed(good) + "=",
        "more padding": signed(good) + "==",
        "padding of the claims": ".".join(part + "=" * (at == 1) for at, part in enumerate(signed(good).split("."))),
        "a signature written in another way": spelled_otherwise(signed(good)),
        "a sub with NUL": signed(claims(sub=f"{owner_id}\0")),
        "a sub that is no id": signed(claims(sub="' OR true")),
        "a sub with half a character": signed(claims(sub="\ud800")),
        "a sub that is a number": signed(claims(sub=7)),
        "a sub that is a list": signed(claims(sub=[owner_id])),
        "a sign-in with NUL": signed(claims(sub=owner_id, sid="\0")),
        "a sign-in that is none": signed(claims(sub=owner_id, sid="none")),
        "a sign-in that is a number": signed(claims(sub=owner_id, sid=7)),
        "issued in an hour": signed(claims(sub=owner_id, iat=now + 3600)),
        "no issue": signed(claims(sub=owner_id, iat=...)),
        "another issuer": signed(claims(sub=owner_id, iss="evil")),
        "another audience": signed(claims(sub=owner_id, aud="other")),
        "a list of audiences": signed(claims(sub=owner_id, aud=["launchdb:platform", "other"])),
        "no audience": signed(claims(sub=owner_id, aud=...)),
        "another type": signed(claims(sub=owner_id, typ="refresh")),
        "no type": signed(claims(sub=owner_id, typ=...)),
        "nobody": jwt.encode(claims(sub="own_" + "0" * 32), key, algorithm="HS256"),
        "a project's user": signed({"role": "authenticated", "iss": "launchdb", "iat": now, "exp": now + 600}),
        "one bit flipped": signed(good)[:-2] + ("A" if signed(good)[-2] != "A" else "B") + signed(good)[-1],
        "no such personal token": "ldb_" + "a" * 43,
        "a refresh token": "ldbr_" + "a" * 43,
    }


def key_of(settings):
    return secretfiles.current(settings.secrets_folder, "PLATFORM_JWT_SECRET")


# It names a backup in its body: another owner's is not there.
UNDELETE = "backups.undelete"


def paths(operation, ids):
    rule = operation.rule
    for name, value in ids.items():
        rule = rule.replace(f"<{name}>", value)
    assert "<" not in rule
    return rule


def body_for(operation):
    if operation.method == "GET":
        return {}
    fit = {"name": "changed", "current": PASSWORD, "new": "another horse", "email": "new@example.org"}
    fit |= {"query": "SELECT 1", "to": "new@example.org"}
    fit |= {"version": "1", "sql": "SELECT 1", "cron": "1 1 * * *", "secret": "jwtSecret", "into": "new"}
    fit |= {"type": "publishable", "algorithm": "ES256", "kind": "invite"}
    fit |= {"file": "export.gpg", "passphrase": "a passphrase of the tests", "pool_size": 5}
    if operation.body is PlatformRotation:
        fit = {"secret": "internalApiKey"}
    wanted = operation.body.model_fields if operation.body else {}
    return {"json": {wanted[name].alias or name: value for name, value in fit.items() if name in wanted}}


@pytest.fixture
def victim(town):
    """An owner with one of everything."""
    owner = town.owner()
    with town.infra.database.transaction() as tx:
        declare(tx, offsite=False)
        session = sessions.start(tx, owner.id, seconds=600, address="10.1.1.1").id
    project = owner.project()
    token = owner.post("/api/tokens", json={"name": "t"}).json()
    owner.ids = {"project_id": project["id"], "job_id": project["currentJob"], "token_id": token["id"], "queue": "bulk"}
    owner.ids |= {"key_id": new_id("key"), "schedule": "vacuum", "backup_id": new_id("bkp"), "check": "projects"}
    with town.infra.database.autocommit() as tx:
        tx.execute(
            "INSERT INTO backups (id, scope, owner_id, stem, format, key_id, finished_at, bytes, database_bytes, sha256,"
            " duration_ms) VALUES (%s, %s, %s, 'x', 'sql.gz', 'k', now(), 1, 1, 'x', 1)",
            (owner.ids["backup_id"], project["id"], owner.id),
        )
    owner.ids |= {"owner_id": owner.id, "session_id": session}
    return owner


def state(town):
    tables = (
        "owners",
        "projects",
        "jobs",
        "personal_tokens",
        "refresh_tokens",
        "queues",
        "idempotency_keys",
        "one_time_tokens",
    )
    return {table: town.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables}


def test_the_good_token_of_this_table_is_good(town, victim, settings):
    good = jwt.encode(claims(sub=victim.id), key_of(settings), algorithm="HS256")
    assert town.stranger(Authorization=f"Bearer {good}").get("/api/auth/me").json()["id"] == victim.id


def ask(person, operation, ids):
    body = {"json": {"backupId": ids["backup_id"]}} if operation.name == UNDELETE else body_for(operation)
    return person.request(operation.method, paths(operation, ids), **body)


def test_no_route_lets_in_who_has_no_good_token(town, victim, settings):
    before = state(town)
    headers = ["Bearer", "Bearer ", "Basic abc", "Bearer a b"]
    headers += [f"Bearer {token}" for token in forged(key_of(settings), victim.id).values()]
    stranger = town.stranger()
    for operation in ROUTES:
        # All come from one address, which may ask so often in a minute.
        with connect(settings.redis_url) as counts:
            counts.flushall()
        problem(ask(town.stranger(), operation, victim.ids), 404 if operation.who == "operator" else 401)
        for header in headers:
            stranger.client.headers["Authorization"] = header
            answer = ask(stranger, operation, victim.ids)
            problem(answer, 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert state(town) == before


def with_a_password(town):
    """An owner whose password is known, with a token that outlives their sign-ins."""
    person = town.registered()
    person.client.headers["Authorization"] = f"Bearer {town.token(person.id)}"
    return person


def leaving_last(town, person, routes):
    """These routes, the deletion of the account at the end, when nothing is left that is in its way."""
    yield from (operation for operation in routes if operation.name != "accounts.delete")
    with town.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleted' WHERE owner_id = %s", (person.id,))
    yield from (operation for operation in routes if operation.name == "accounts.delete")


def test_what_belongs_to_another_owner_is_not_there(town, victim):
    other = with_a_password(town)
    before = state(town)
    for operation in ROUTES:
        if operation.who == "operator" or "<" in operation.rule:
            problem(ask(other, operation, victim.ids), 404)
    assert state(town) == before
    for operation in leaving_last(town, other, ROUTES):
        if operation.who == "owner" and "<" not in operation.rule:
            answer = ask(other, operation, victim.ids)
            assert answer.status_code < 300 or (operation.name, answer.status_code) == (UNDELETE, 404)
            assert victim.ids["project_id"] not in answer.text


def test_an_operator_reaches_all_jobs_but_no_projects_or_tokens_of_others(town, victim):
    town.owner(operator=True)
    boss = with_a_password(town)
    with town.infra.database.transaction() as tx:
        owners.promote(tx, boss.email, by="operator")
    last = sorted(ROUTES, key=lambda found: found.name in ("jobs.retry", "jobs.stream"))
    for operation in leaving_last(town, boss, last):
        if operation.name == "jobs.stream":
            continue  # it would last as long as the job
        answer = ask(boss, operation, victim.ids)
        if operation.name == "transfers.import_project":
            problem(answer, 422)  # there is no such file
        elif operation.name == UNDELETE or any(
            name in operation.rule for name in ("<project_id>", "<token_id>", "<session_id>")
        ):
            problem(answer, 404)
        else:
            assert answer.status_code < 300, answer.text


def test_each_refused_sign_in_leaves_a_row(town, victim):
    town.stranger(Authorization="Bearer a.b.c", **{"X-Request-Id": "the-try"}).get("/api/projects")
    rows = town.rows("SELECT actor, outcome, address, action FROM audit WHERE request_id = 'the-try'")
    assert rows == [
        {
            "actor": "anonymous",
            "outcome": "refused: unauthorized",
            "address": "127.0.0.1",
            "action": "projects.list_projects",
        }
    ]
