"""While all connections are lent nobody waits for one who needs no rows: wrong names are refused, verbs are told."""

from __future__ import annotations

from contextlib import closing

import pytest

from app.data.config import from_values
from app.data.parse.request import RawRequest
from app.data.run.connections import Budget
from app.data.run.instance import Instance


@pytest.fixture
def busy(stamped):
    """A data API whose one connection is lent, and that has answered before."""
    config = from_values(
        {
            "db-uri": stamped.config.db_uri,
            "db-anon-role": stamped.role,
            "db-pool": "1",
            "db-pool-acquisition-timeout": "0.2",
        }
    )
    stamped.owner.execute(
        "DROP TABLE IF EXISTS busy, busy_too; CREATE TABLE busy (id int PRIMARY KEY);"
        "CREATE OR REPLACE FUNCTION busy_f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    with closing(Instance(config, Budget(5))) as instance:
        assert ask(instance, "/busy")[0] == 200
        assert ask(instance, "/rpc/busy_f")[0] == 200
        assert ask(instance, "/busy?select=none(*)")[0] == 400
        with instance.pool.lend():
            yield instance, stamped.owner


def ask(instance, target, method="GET"):
    path, _, query = target.partition("?")
    answer = instance.answer(RawRequest(method, path, query, {}, b""))
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("method", "target", "status", "said"),
    [
        ("GET", "/nothing", 404, b"PGRST205"),
        ("GET", "/busy?select=*,nothing(*)", 400, b"PGRST200"),
        ("GET", "/rpc/nothing", 404, b"PGRST202"),
        ("OPTIONS", "/busy", 200, b""),
        ("OPTIONS", "/rpc/busy_f", 200, b""),
    ],
)
def test_who_needs_no_rows_does_not_wait_for_a_connection(busy, method, target, status, said):
    answered = ask(busy[0], target, method)
    assert answered[0] == status
    assert said in answered[1]


def test_who_needs_rows_waits(busy):
    assert ask(busy[0], "/busy")[0] == 504


def test_what_has_been_made_meanwhile_is_found(busy):
    """It is looked at whether the schema has changed, and the request is carried out after all."""
    instance, owner = busy
    owner.execute("CREATE TABLE busy_too (id int PRIMARY KEY)")
    assert ask(instance, "/busy_too") == (200, b"[]")
