"""launchdb audit: the record is verified from the home folder."""

from __future__ import annotations

import psycopg

from catalog import audit
from catalog.audit import AuditEntry
from jobs.loops.audit_sealer import AuditSealer


def test_verify_names_the_row_that_was_changed(launchdb, operator, infra):
    with infra.database.transaction() as tx:
        audit.record(tx, AuditEntry("anonymous", "project.create"))
    AuditSealer(infra.database).run_once()
    intact = launchdb.run("audit", "verify", "--json")
    assert (intact.code, intact.json["intact"]) == (0, True)
    with psycopg.connect(infra.database.conninfo) as session:
        session.execute("SET session_replication_role = replica")
        victim = session.execute("UPDATE audit SET outcome = 'refused' RETURNING id").fetchone()[0]
    broken = launchdb.run("audit", "verify", "--json")
    assert (broken.code, broken.json["faults"][0]) == (1, {"id": victim, "fault": "changed"})
