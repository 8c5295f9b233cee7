"""A refresh token's life against a model, step by step: whatever comes in whatever order, at most one token is live.

Tokens come one after another, older ones again, several at once, in time and late; the session is signed out; and the
server process is killed in the middle of a rotation, again and again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.auth.store import refresh_tokens, sessions, signed_in, users
from catalog.settings_model import ProjectSettings

# As the settings have it that are not set.
REUSE = ProjectSettings().refresh_reuse_seconds
STEPS = st.one_of(
    st.tuples(st.just("present"), st.integers(0, 3)),  # how many generations before the live one
    st.tuples(st.just("together"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 11, 3600])),
    st.tuples(st.just("killed"), st.integers(0, 1)),
    st.tuples(st.just("sign_out"), st.just(0)),
)


class Model:
    """What the contract says of a session: its tokens in order, and when each was replaced. The last one is live."""

    def __init__(self, first) -> None:
        self.tokens, self.replaced = [first], {}
        self.ended = ""

    def expected(self, token, now):
        """What comes of a token that is presented."""
        if self.ended:
            return self.ended
        if token == self.tokens[-1]:
            return "rotated"
        if len(self.tokens) > 1 and token == self.tokens[-2]:
            return "repeated"
        return "repeated" if now - self.replaced[token] < timedelta(seconds=REUSE) else "stolen"

    def present(self, token, outcome, answered, now):
        """Take note of what came of it."""
        assert outcome == self.expected(token, now)
        if outcome == "rotated":
            assert answered not in self.tokens
            self.replaced[token] = now
            self.tokens.append(answered)
        elif outcome == "repeated":
            assert answered == self.tokens[-1]
        else:
            assert answered is None
            self.ended = self.ended or outcome


class Session:
    """A session in the database, at a time of its own, beside what the model says of it."""

    def __init__(self, auth) -> None:
        self.auth, self.project = auth, auth.projects.find(auth.id)
        self.now = datetime.now(UTC)
        token = refresh_tokens.make_token()
        with self.project.transaction() as tx:
            self.user = users.create(tx)["id"]
            sessions.begin(
                tx, self.user, moment=self.now, method="password", aal="aal1", token=token, provider="",
                user_agent="", ip=None,
            )  # fmt: skip
        self.model = Model(token)

    def rotate(self, token):
        rotation, found = signed_in.rotate(self.project, token, self.now)
        assert (found is not None) == (rotation.user_id is not None)
        return rotation

    def before(self, generations):
        return self.model.tokens[max(0, len(self.model.tokens) - 1 - generations)]

    def present(self, generations):
        token = self.before(generations)
        rotation = self.rotate(token)
        self.model.present(token, rotation.outcome, rotation.refresh_token, self.now)

    def together(self, generations):
        """Several clients present one token at once: as if they came one after another."""
        token = self.before(generations)
        with ThreadPoolExecutor(4) as threads:
            rotations = list(threads.map(self.rotate, [token] * 4))
        first = next((each for each in rotations if each.outcome in ("rotated", "stolen")), rotations[0])
        rotations.remove(first)
        for each in [first, *rotations]:
            self.model.present(token, each.outcome, each.refresh_token, self.now)

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    def killed(self, generations):
        """The server's process dies before the transaction is committed: nothing of it has happened."""
        token = self.before(generations)
        dying = self.auth.tenant.connect(self.auth.tenant.roles.auth)
        dying.autocommit = False
        dying.execute("SELECT auth.rotate_refresh_token(%s, 'never seen', %s, '10 s', '7 days')", (token, self.now))
        with self.auth.tenant.as_admin() as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (dying.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            dying.commit()
        dying.close()

    def sign_out(self, _):
        with self.project.transaction() as tx:
            sessions.end_all(tx, self.user)
        self.model.ended = "unknown"

    def check(self):
        """At most one token is live, and it is the model's."""
        live = self.auth.rows("SELECT token FROM auth.refresh_tokens WHERE user_id = %s AND NOT revoked", (self.user,))
        assert live == ([] if self.model.ended else [(self.model.tokens[-1],)])


def check(auth, steps):
    session = Session(auth)
    for act, what in steps:
        getattr(session, act)(what)
        session.check()


FEW = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(steps=st.lists(STEPS, min_size=1, max_size=14))
def test_a_session_does_what_the_model_says(auth, steps):
    check(auth, steps)


@pytest.mark.full
@settings(FEW, max_examples=500, derandomize=False)
@given(steps=st.lists(STEPS, min_size=1, max_size=40))
def test_many_long_lives_of_sessions_are_as_the_model_says(auth, steps):
    check(auth, steps)


def test_a_client_whose_connection_dies_between_sending_and_hearing_refreshes_again(auth):
    session = Session(auth)
    token = session.before(0)
    rotated = session.rotate(token)  # committed, and the answer is lost
    again = session.rotate(token)
    assert (again.outcome, again.refresh_token) == ("repeated", rotated.refresh_token)
