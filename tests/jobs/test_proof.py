"""A restored copy is asked by HTTP as its clients would ask it; what does not fit is named, and nothing is left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.backup.fingerprint import Fingerprint
from infra.errors import Refused, Unavailable
from jobs.projects.data_api_check import prove_by_data_api


@pytest.fixture
def shop(tenant):
    """A database with a table that only the signed-in may read, and one that nobody may."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(
            "CREATE TABLE notes AS SELECT n FROM generate_series(1, 30) n;"
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY few ON notes FOR SELECT TO authenticated USING (n < 3);"
            'CREATE TABLE "Odd Name" (n int);'
            "CREATE TABLE secret (n int); REVOKE ALL ON secret FROM anon, authenticated, service_role"
        )
    return tenant


def ask(tenant, rows, **more):
    run = SimpleNamespace(infra=tenant.infra, check=more.pop("check", lambda: None))
    uri = more.pop("uri", tenant.uri(tenant.roles.authenticator))
    return prove_by_data_api(run, uri, tenant.id, Fingerprint(rows, {}, {}))


def processes(needle):
    """Those that this process has started."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            try:
                found += [pid] if needle in Path(f"/proc/{pid}/cmdline").read_bytes() else []
            except OSError:
                continue
    return found


def test_tables_are_counted_through_the_data_api(shop, settings):
    assert ask(shop, {"public.notes": 30, 'public."Odd Name"': 0}) == 1
    assert processes(b"app.data.serve.standalone") == []
    assert [path.name for path in settings.run_folder.iterdir() if path.name.startswith("trial")] == []


def test_a_table_with_other_rows_is_named(shop):
    with pytest.raises(Refused, match="notes has 30 rows instead of 29"):
        ask(shop, {"public.notes": 29})


def test_what_the_service_may_not_read_is_no_fault(shop):
    assert ask(shop, {"public.notes": 30, "public.gone": 7}) == 1


def test_a_copy_that_does_not_answer_is_named_and_nothing_is_left(shop):
    wrong = shop.uri(shop.roles.authenticator).replace(shop.id, "not_there", 1) + "_not_there"
    with pytest.raises((Refused, Unavailable)):
        ask(shop, {"public.notes": 30}, uri=wrong)
    assert processes(b"app.data.serve.standalone") == []


def test_a_job_that_is_stopped_meanwhile_leaves_no_process(shop):
    class Stopped(Exception):
        pass

    def check():
        raise Stopped

    with pytest.raises(Stopped):
        ask(shop, {"public.notes": 30}, check=check)
    assert processes(b"app.data.serve.standalone") == []
