"""Forgotten passwords, invitations and trial mails as people get them; and that nothing tells who is known."""

from __future__ import annotations

import re
import statistics
import time

import pytest

from infra.mail.mailbox import Mailbox
from jobs.engine import kind as kinds
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from tests.app.conftest import PASSWORD
from tests.app.test_accounts import OTHER, reset
from tests.app.test_bad_input import problem
from tests.app.test_limits import another
from tests.app.test_sign_in import login


def carry(town):
    leases = Leases(town.infra.database, town.settings, worker="here")
    Runner(town.infra, leases, worker="here", queues=["control"], serves=sorted(kinds.kinds())).drain()


def letters(town):
    carry(town)
    return Mailbox(town.settings.mailbox_folder).messages()


def ask(person, email, **headers):
    return person.post("/api/auth/password/reset", json={"email": email}, headers=headers)


def token_in(letter, prefix):
    return re.search(rf"#\w+=({prefix}[\w-]+)\n", letter.text)[1]


def test_a_forgotten_password_is_reset_by_a_mailed_link(town):
    owner = town.signed_in()
    answer = ask(town.stranger(), owner.email.upper(), **{"X-Forwarded-Host": "evil.example", "Host": "evil.example"})
    assert answer.status_code == 202
    [letter] = letters(town)
    assert letter.to == owner.email
    assert town.settings.base_url in letter.text
    assert "evil.example" not in letter.text
    token = token_in(letter, "ldbp_")
    assert reset(town.stranger(), token).status_code == 204
    assert login(owner, owner.email, OTHER).status_code == 200
    problem(owner.get("/api/auth/me"), 401)
    problem(reset(town.stranger(), token), 403)
    told = str(town.rows("SELECT * FROM jobs, job_events, mail_outbox, one_time_tokens, audit"))
    assert token not in told
    asked = town.rows("SELECT actor, owner_id, outcome FROM audit WHERE action = 'auth.reset_ask'")
    assert asked == [{"actor": "anonymous", "owner_id": owner.id, "outcome": "accepted"}]


def test_an_unknown_address_gets_the_same_answer_and_no_mail(town):
    known = town.registered()
    told = []
    for email in (known.email, "nobody@example.org"):
        answer = ask(town.stranger(), email)
        told.append((answer.status_code, answer.text, set(answer.headers)))
    assert told[0] == told[1]
    assert [letter.to for letter in letters(town)] == [known.email]
    kinds_of_rows = town.rows("SELECT kind, status, owner_id, args ->> 'outbox_id' IS NOT NULL AS held FROM jobs")
    assert kinds_of_rows[0] == kinds_of_rows[1]
    assert len(town.rows("SELECT 1 FROM audit WHERE action = 'auth.reset_ask'")) == 2


def medians(app, settings, count):
    """Return the median time of an answer, and its difference, for addresses that are known and that are not."""
    took = {True: [], False: []}
    with another(settings, SIGN_IN_RATE_PER_MINUTE="100000", MAILS_PER_HOUR="100000") as town:
        people = [town.owner() for _ in range(count)]
        client = town.stranger()
        ask(client, "warm@example.org")
        for number, person in enumerate(people):
            for is_known in (True, False) if number % 2 else (False, True):
                email = person.email if is_known else f"own_{number:032x}@example.org"
                started = time.perf_counter()
                answer = ask(client, email)
                took[is_known].append(time.perf_counter() - started)
                assert answer.status_code == 202
    unknown = statistics.median(took[False])
    return unknown, abs(statistics.median(took[True]) - unknown)


def test_a_known_address_takes_no_longer_than_an_unknown_one(app, settings):
    median, difference = medians(app, settings, 60)
    assert difference < max(0.005, 0.5 * median)


@pytest.mark.full
def test_two_hundred_forgotten_passwords_tell_no_known_address_from_an_unknown_one(app, settings):
    assert medians(app, settings, 200)[1] < 0.005


def test_who_is_asked_for_often_gets_five_mails_an_hour(town):
    owner = town.registered()
    answers = {ask(town.stranger(), owner.email).text for _ in range(7)}
    assert len(answers) == 1
    assert len(letters(town)) == 5
    boss = town.owner(operator=True)
    token = boss.post(f"/api/admin/owners/{owner.id}/reset").json()["token"]
    assert reset(town.stranger(), token).status_code == 204


def test_a_used_up_quota_tells_nobody_who_is_known(app, settings):
    with another(settings, MAILS_PER_HOUR="1") as town:
        known, other = town.registered(), town.registered()
        answers = [ask(town.stranger(), email) for email in (known.email, other.email, "nobody@example.org")]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        assert [letter.to for letter in letters(town)] == [known.email]
        boss = town.owner(operator=True)
        refused = boss.post("/api/admin/mail/test", json={"to": "a@example.org"})
        assert problem(refused, 429)["type"] == "/problems/mail-quota"
        assert 1 <= int(refused.headers["Retry-After"]) <= 3600


def test_where_mail_is_off_it_says_so_to_everybody_alike(app, settings):
    with another(settings, LAUNCHDB_ENV="production", REGISTRATION="open") as town:
        owner = town.registered()
        told = [problem(ask(town.stranger(), email), 409) for email in (owner.email, "nobody@example.org")]
        assert [found["type"] for found in told] == ["/problems/mail-off"] * 2
        assert told[0]["detail"] == told[1]["detail"]
        boss = town.owner(operator=True)
        problem(boss.post("/api/admin/mail/test", json={"to": "a@example.org"}), 409)
        invited = boss.post("/api/admin/owners/invitations", json={"email": "new@example.org"}).json()
        assert (invited["mailed"], invited["token"][:5]) == (False, "ldbi_")
        assert town.rows("SELECT 1 FROM mail_outbox") == []


def test_an_invitation_is_mailed_and_lets_its_reader_register(app, settings):
    with another(settings, REGISTRATION="invite") as town:
        boss = town.owner(operator=True)
        made = boss.post("/api/admin/owners/invitations", json={"email": "new@example.org"}).json()
        [letter] = letters(town)
        assert made["mailed"] is True
        assert token_in(letter, "ldbi_") == made["token"]
        body = {"email": letter.to, "password": PASSWORD, "invitation": made["token"]}
        assert town.stranger().post("/api/auth/register", json=body).status_code == 201


def test_a_name_with_quotes_and_addresses_forges_no_header(town):
    person = town.stranger()
    body = {"email": "ann@example.org", "password": PASSWORD, "name": 'Ann" <eve@example.org>, "'}
    assert person.post("/api/auth/register", json=body).status_code == 201
    for name in ("Ann\r\nBcc: eve@example.org", "Ann\0", "Ann\u2028Bcc: x"):
        problem(person.post("/api/auth/register", json={**body, "email": "b@example.org", "name": name}), 422)
    ask(person, "ann@example.org")
    [letter] = letters(town)
    assert letter.to.endswith("<ann@example.org>")
    assert letter.to.count("@") == 2
    raw = next(town.settings.mailbox_folder.iterdir()).read_text()
    assert "Bcc" not in raw


@pytest.mark.parametrize(
    "to", ["no-address", "a@b.c\r\nBcc: d@e.f", "a@b.c\0", "a" * 300 + "@b.c", None, ["a@b.c"], ""]
)
def test_a_trial_mail_goes_to_one_address_only(town, to):
    boss = town.owner(operator=True)
    assert problem(boss.post("/api/admin/mail/test", json={"to": to}), 422)["errors"][0]["pointer"] == "/to"


def test_a_trial_mail_is_a_job_that_operators_may_begin(town):
    boss = town.owner(operator=True)
    problem(town.owner().post("/api/admin/mail/test", json={"to": "a@example.org"}), 404)
    accepted = boss.post("/api/admin/mail/test", json={"to": "a@example.org"}, headers={"Idempotency-Key": "k"})
    assert accepted.status_code == 202
    again = boss.post("/api/admin/mail/test", json={"to": "a@example.org"}, headers={"Idempotency-Key": "k"})
    assert again.json()["job"]["id"] == accepted.json()["job"]["id"]
    [letter] = letters(town)
    assert letter.to == "a@example.org"
    job = boss.get(accepted.headers["Location"]).json()
    assert (job["kind"], job["status"]) == ("project.mail", "succeeded")
    assert job["result"]["takenBy"] == "mailbox"
    told = town.rows("SELECT actor, outcome FROM audit WHERE action = 'mail.test' ORDER BY id")
    assert [row["outcome"] for row in told] == ["refused: not-found", "accepted"]
    assert told[1]["actor"] == boss.id
