"""While a project holds every lock of the server, users of the others are signed in once it has been ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from infra.errors import LockTableFull
from tests.app.auth.people import joined, new_email, sign_in
from tests.fixtures.locks import no_lock_left
from tests.fixtures.servers import wait_until


def test_users_sign_in_and_up_once_there_are_locks_again(auth, monkeypatch):
    failures, made = [], LockTableFull.__init__

    def counted(self, *words, **more):
        failures.append(words)
        made(self, *words, **more)

    monkeypatch.setattr(LockTableFull, "__init__", counted)
    email, other = joined(auth).email, new_email()
    acts = [
        lambda: sign_in(auth, email),
        lambda: auth.call("POST", "/signup", {"email": other, "password": "correct horse"}),
    ]
    with ThreadPoolExecutor(len(acts)) as pool:
        # One has a session, another begins one.
        with no_lock_left(auth.tenant.infra.database.conninfo):
            asked = [pool.submit(act) for act in acts]
            wait_until(lambda: len(failures) >= 4 or all(each.done() for each in asked))
            assert not any(each.done() for each in asked)
        assert [each.result().status_code for each in asked] == [200, 200]
    assert auth.rows("SELECT count(*) FROM auth.users WHERE email = %s", (other,)) == [(1,)]
