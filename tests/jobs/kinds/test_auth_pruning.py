"""project.vacuum deletes what nobody can sign in with any more, and nothing that is still good for something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from jobs.requests import lifecycle

DAY = timedelta(days=1)
LIVES = timedelta(days=7)  # refreshTokenSeconds, where nothing is set


class Auth:
    """The tables of a project's Auth, as its login writes them; `ago` says how old what is written is."""

    def __init__(self, session) -> None:
        self.session = session
        self.user = self.insert("users", email=f"{uuid4().hex}@example.com")

    def insert(self, table, **columns):
        names, places = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
        query = f"INSERT INTO auth.{table} ({names}) VALUES ({places}) RETURNING id"
        return self.session.execute(query, columns).fetchone()[0]

    def live_session(self, ago, refreshed=None, **more):
        """A session that was begun then, and refreshed last at another time."""
        return self.insert(
            "sessions", user_id=self.user, created_at=at(ago), refreshed_at=at(ago if refreshed is None else refreshed), **more
        )  # fmt: skip

    def token(self, session, ago, *, replaced=None, parent=None):
        """A refresh token that was made then; replaced: how long ago another took its place."""
        name = uuid4().hex
        updated = ago if replaced is None else replaced
        self.insert(
            "refresh_tokens", token=name, user_id=self.user, session_id=session, parent=parent,
            revoked=replaced is not None, created_at=at(ago), updated_at=at(updated),
        )  # fmt: skip
        return name

    def ids(self, table, name="id"):
        return {row[0] for row in self.session.execute(f"SELECT {name} FROM auth.{table}").fetchall()}

    def rotate(self, presented):
        """What comes of a refresh token that is presented now."""
        query = "SELECT outcome FROM auth.rotate_refresh_token(%s, %s, now(), '10 s', %s)"
        return self.session.execute(query, [presented, uuid4().hex, LIVES]).fetchone()[0]


def at(ago):
    return datetime.now(UTC) - ago


@pytest.fixture
def auth(life):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.auth) as session:
        yield Auth(session)


def test_sessions_that_cannot_go_on_are_deleted_with_their_tokens(life, auth):
    stolen = auth.live_session(30 * DAY, 2 * DAY, not_after=at(2 * DAY))
    unused = auth.live_session(30 * DAY, LIVES + 2 * DAY)
    gone = [auth.token(stolen, 3 * DAY, replaced=2 * DAY), auth.token(unused, LIVES + 2 * DAY)]
    job = life.ask(lifecycle.vacuum)
    assert job.error is None
    assert (job.status, job.result["authRowsDeleted"]) == ("succeeded", {"sessions": 2})
    assert auth.ids("sessions") == set()
    assert not auth.ids("refresh_tokens", "token") & set(gone)


def test_sessions_that_may_go_on_or_ended_just_now_stay(life, auth):
    kept = {
        auth.live_session(400 * DAY, timedelta(hours=1)),
        auth.live_session(LIVES - DAY),
        auth.live_session(2 * DAY, not_after=at(timedelta(hours=1))),
        auth.live_session(2 * DAY, not_after=at(-DAY)),
    }
    for session in kept:
        auth.token(session, timedelta(hours=1))
    # Nobody has refreshed it, but somebody who knows its token might: it was made anew, as an import does.
    imported = auth.live_session(300 * DAY)
    token = auth.token(imported, DAY)
    assert life.ask(lifecycle.vacuum).result["authRowsDeleted"] == {}
    assert auth.ids("sessions") == {*kept, imported}
    assert auth.rotate(token) == "rotated"


def test_a_session_that_lives_on_still_notices_a_stolen_token(life, auth):
    session = auth.live_session(100 * DAY, timedelta(minutes=5))
    ancient = auth.token(session, 60 * DAY, replaced=50 * DAY)
    older = auth.token(session, LIVES, replaced=LIVES - DAY, parent=ancient)
    parent = auth.token(session, DAY, replaced=timedelta(minutes=5), parent=older)
    live = auth.token(session, timedelta(minutes=5), parent=parent)
    job = life.ask(lifecycle.vacuum)
    assert job.result["authRowsDeleted"] == {"refresh_tokens": 1}
    assert auth.ids("refresh_tokens", "token") == {older, parent, live}
    assert auth.rotate(parent) == "repeated", "whoever missed the answer gets it again"
    assert auth.rotate(older) == "stolen"
    assert auth.rotate(live) == "stolen", "and the session has ended for everybody"


def test_the_parent_of_a_token_that_is_good_stays_however_old_it_is(life, auth):
    session = auth.live_session(100 * DAY, timedelta(hours=1))
    parent = auth.token(session, 90 * DAY, replaced=80 * DAY)
    auth.token(session, DAY, parent=parent)
    life.ask(lifecycle.vacuum)
    assert auth.rotate(parent) == "repeated"


def test_what_nobody_answered_in_time_is_deleted(life, auth):
    def written(ago):
        factor = auth.insert(
            "mfa_factors", user_id=auth.user, factor_type="totp", status="verified", friendly_name=str(ago)
        )
        user = auth.insert("users", email=f"{uuid4().hex}@example.com")
        return {
            "one_time_tokens": auth.insert(
                "one_time_tokens", user_id=user, token_type="recovery_token", token_hash=uuid4().hex, relates_to="",
                created_at=at(ago),
            ),
            "flow_state": auth.insert(
                "flow_state", provider_type="email", authentication_method="otp", created_at=at(ago)
            ),
            "oauth_client_states": auth.insert("oauth_client_states", provider_type="google", created_at=at(ago)),
            "mfa_challenges": auth.insert("mfa_challenges", factor_id=factor, ip_address="::1", created_at=at(ago)),
            "webauthn_challenges": auth.insert(
                "webauthn_challenges", challenge_type="authentication", session_data="{}", created_at=at(ago),
                expires_at=at(ago),
            ),
        }  # fmt: skip

    old, fresh = written(2 * DAY), written(timedelta(hours=12))
    result = life.ask(lifecycle.vacuum).result
    assert result["authRowsDeleted"] == dict.fromkeys(old, 1)
    assert {table: auth.ids(table) for table in fresh} == {table: {kept} for table, kept in fresh.items()}


def test_the_audit_is_kept_for_as_long_as_is_set(life, auth):
    auth.insert("audit_log_entries", payload="{}", created_at=at(91 * DAY))
    kept = auth.insert("audit_log_entries", payload="{}", created_at=at(89 * DAY))
    assert life.ask(lifecycle.vacuum).result["authRowsDeleted"] == {"audit_log_entries": 1}
    assert auth.ids("audit_log_entries") == {kept}


def test_a_trigger_of_the_owner_keeps_its_table_alone_and_gets_no_rights(life, auth):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'never, says %', session_user; END $$;"
            "CREATE TRIGGER refuse BEFORE DELETE ON auth.audit_log_entries EXECUTE FUNCTION refuse()"
        )
    auth.insert("audit_log_entries", payload="{}", created_at=at(91 * DAY))
    auth.live_session(30 * DAY, 2 * DAY, not_after=at(2 * DAY))
    job = life.ask(lifecycle.vacuum)
    assert (job.status, job.result["authRowsDeleted"]) == ("succeeded", {"sessions": 1})
    assert len(auth.ids("audit_log_entries")) == 1
