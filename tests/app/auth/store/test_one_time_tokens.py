"""What stands behind the links and codes of letters: used once, replaced by the next, gone with time and user."""

from __future__ import annotations

import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.auth.store import flow_states, one_time_tokens

NOW = 1_800_000_000.0


@pytest.fixture
def project(auth):
    return auth.projects.find(auth.id)


@pytest.fixture
def user(auth):
    return auth.rows("INSERT INTO auth.users (email) VALUES (%s) RETURNING id", (f"{secrets.token_hex(6)}@x.org",))[0][
        0
    ]


def put(project, user, token_hash, token_type="recovery_token", **more):
    with project.transaction() as tx:
        token = one_time_tokens.NewToken(str(user), token_type, token_hash, "a@x.org", **more)
        one_time_tokens.put(tx, token, now=NOW)


def use(project, token_hash, *, since=NOW - 10, types=("recovery_token",), relates_to=None):
    with project.transaction() as tx:
        return one_time_tokens.use(tx, [token_hash], types, since=since, relates_to=relates_to)


@pytest.fixture
def token():
    return secrets.token_hex(28)


def test_of_ten_uses_at_once_one_counts(project, user, token):
    put(project, user, token)
    with ThreadPoolExecutor(10) as threads:
        used = list(threads.map(lambda _: use(project, token), range(10)))
    assert [one.user_id for one in used if one] == [user]


def test_a_use_that_is_rolled_back_was_none(project, user, token):
    put(project, user, token)
    with pytest.raises(RuntimeError), project.transaction() as tx:
        assert one_time_tokens.use(tx, [token], ["recovery_token"], since=NOW - 10)
        raise RuntimeError("killed between the writes")
    assert use(project, token)


def test_the_next_token_of_a_kind_replaces_the_one_before(project, user, token):
    put(project, user, token)
    put(project, user, token + "b")
    put(project, user, token + "c", "confirmation_token")
    assert use(project, token) is None
    assert use(project, token + "b")
    assert use(project, token + "c", types=["confirmation_token"])


@pytest.mark.parametrize(
    "how",
    [{"since": NOW + 1}, {"types": ["confirmation_token"]}, {"relates_to": "b@x.org"}],
    ids=["old", "kind", "address"],
)
def test_a_token_is_good_for_its_time_its_kind_and_its_address(project, user, token, how):
    put(project, user, token)
    assert use(project, token, **how) is None
    assert use(project, token, relates_to="a@x.org")


def test_the_moment_of_the_letter_is_kept_with_the_user(auth, project, user, token):
    put(project, user, token)
    put(project, user, token + "b", "confirmation_token", invited=True, durable=True)
    columns = (
        "extract(epoch FROM recovery_sent_at), extract(epoch FROM confirmation_sent_at), extract(epoch FROM invited_at)"
    )
    [row] = auth.rows(f"SELECT {columns}, reauthentication_sent_at FROM auth.users WHERE id = %s", (user,))
    assert row == (NOW, NOW, NOW, None)


def test_for_nobody_nothing_is_written(auth, project, token):
    put(project, uuid.uuid4(), token)
    assert use(project, token) is None
    with project.transaction() as tx:
        made = flow_states.create(
            tx, provider_type="magiclink", authentication_method="magiclink", now=NOW, challenge=("c" * 43, "plain"),
            user_id=str(uuid.uuid4()),
        )  # fmt: skip
    assert made is None


def test_tokens_go_with_their_user(auth, project, user, token):
    put(project, user, token)
    auth.rows("DELETE FROM auth.users WHERE id = %s RETURNING id", (user,))
    assert use(project, token) is None


def test_the_newest_flow_of_a_user_gives_its_code(project, user):
    def create(at, method="magiclink"):
        with project.transaction() as tx:
            return flow_states.create(
                tx, provider_type=method, authentication_method=method, now=at, challenge=("c" * 43, "s256"),
                user_id=str(user),
            )  # fmt: skip

    create(NOW)
    newest = create(NOW + 1)
    create(NOW + 2, "recovery")
    with project.transaction() as tx:
        assert flow_states.issue_code(tx, str(user), "magiclink", now=NOW + 3) == newest.auth_code
        assert flow_states.issue_code(tx, str(user), "email/signup", now=NOW + 3) is None
        found = flow_states.by_code(tx, newest.auth_code)
        assert (found.user_id, found.code_challenge_method, found.begun) == (user, "s256", NOW + 3)
        flow_states.remove(tx, found.id)
        assert flow_states.by_code(tx, newest.auth_code) is None
        assert flow_states.by_code(tx, "no such code") is None


def test_flows_that_nobody_finished_go_after_a_day(auth, project):
    with project.transaction() as tx:
        for at in (NOW, NOW + 86_500, NOW + 86_501):
            flow_states.create(tx, provider_type="google", authentication_method="oauth", now=at)
    assert auth.rows("SELECT count(*) FROM auth.flow_state WHERE created_at = to_timestamp(%s)", (NOW,)) == [(0,)]
