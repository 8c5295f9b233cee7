"""The audit's chain: sealed within seconds, never past somebody who still writes; what is changed afterwards is named."""

from __future__ import annotations

import threading

import psycopg
import pytest

from catalog import audit, audit_chain
from catalog.audit import AuditEntry
from jobs.loops.audit_sealer import AuditSealer


@pytest.fixture
def write(infra):
    """Write so many lines."""

    def lines(count=1):
        for number in range(count):
            with infra.database.transaction() as tx:
                audit.record(tx, AuditEntry("anonymous", "project.create", detail={"number": number}))

    return lines


@pytest.fixture
def tamper(platform_url):
    """Change rows as a superuser can who has put the trigger aside."""
    with psycopg.connect(platform_url, autocommit=True) as session:
        session.execute("SET session_replication_role = replica")
        yield session.execute


def ids(infra):
    with infra.database.autocommit() as tx:
        return [row["id"] for row in tx.rows("SELECT id FROM audit ORDER BY id")]


def faults(infra):
    with infra.database.autocommit() as tx:
        return [(found.id, found.fault) for found in audit_chain.verify(tx)]


def unsealed(infra):
    with infra.database.autocommit() as tx:
        return audit_chain.chain_state(tx).unsealed


def test_a_sealed_audit_is_intact_and_grows(infra, write):
    sealer = AuditSealer(infra.database)
    assert sealer.run_once() == 0
    for _round in range(3):
        write(4)
        assert sealer.run_once() == 4
    assert unsealed(infra) == 0
    assert faults(infra) == []


def test_a_changed_row_is_named(infra, write, tamper):
    write(5)
    AuditSealer(infra.database).run_once()
    victim = ids(infra)[2]
    tamper("UPDATE audit SET actor = 'somebody' WHERE id = %s", (victim,))
    assert faults(infra) == [(victim, "changed")]


CHANGES = {
    "at": "now() - interval '1 day'",
    "actor": "'somebody'",
    "action": "'else'",
    "outcome": "'refused: x'",
    "address": "'192.0.2.9'",
    "request_id": "'x'",
    "owner_id": "'own_x'",
    "project_id": "'proj_x'",
    "job_id": "'job_x'",
    "detail": """'{"number": 99}'""",
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_of_a_sealed_row_is_named(column, infra, write, tamper):
    write(3)
    AuditSealer(infra.database).run_once()
    victim = ids(infra)[1]
    tamper(f"UPDATE audit SET {column} = {CHANGES[column]} WHERE id = %s", (victim,))
    assert faults(infra) == [(victim, "changed")], f"Whatever is changed of a sealed line is named: {column}"


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_removed_row_is_named_be_it_the_first_or_the_last(place, infra, write, tamper):
    write(5)
    AuditSealer(infra.database).run_once()
    victim = ids(infra)[place]
    tamper("DELETE FROM audit WHERE id = %s", (victim,))
    assert faults(infra) == [(victim, "removed")]


@pytest.mark.parametrize("link", ["NULL", "(SELECT chain_hash FROM audit LIMIT 1)"])
def test_an_inserted_row_is_named(link, infra, write, tamper):
    write(2)
    with pytest.raises(ZeroDivisionError), infra.database.transaction() as tx:
        audit.record(tx, AuditEntry("anonymous", "nothing"))  # draws an id that is never used
        raise ZeroDivisionError
    write(2)
    AuditSealer(infra.database).run_once()
    assert faults(infra) == []
    gap = next(number for number in range(ids(infra)[0], ids(infra)[-1]) if number not in ids(infra))
    tamper(
        "INSERT INTO audit (id, actor, action, chain_hash) OVERRIDING SYSTEM VALUE"
        f" VALUES ({gap}, 'somebody', 'was.here', {link})"
    )
    assert (gap, "inserted") in faults(infra)


def test_a_seal_waits_for_a_lower_id_that_is_not_committed(infra, write, platform_url):
    sealer = AuditSealer(infra.database)
    with psycopg.connect(platform_url) as slow:
        slow.execute("INSERT INTO audit (actor, action) VALUES ('slow', 'x')")
        write(3)
        assert sealer.run_once() == 0
        slow.commit()
        assert sealer.run_once() == 4
    assert faults(infra) == []


def test_sealers_beside_writers_make_one_chain(infra, write):
    done = threading.Event()

    def seal():
        while not done.is_set() or unsealed(infra):
            AuditSealer(infra.database).run_once()

    writers = [threading.Thread(target=write, args=(40,)) for _ in range(3)]
    sealers = [threading.Thread(target=seal) for _ in range(2)]
    for thread in (*writers, *sealers):
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    for thread in sealers:
        thread.join(60)
    assert unsealed(infra) == 0
    assert len(ids(infra)) == 120
    assert faults(infra) == []


def test_a_sealed_row_is_not_sealed_again(infra, write):
    write()
    AuditSealer(infra.database).run_once()
    with psycopg.connect(infra.database.conninfo) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("UPDATE audit SET chain_hash = '\\x00'")
