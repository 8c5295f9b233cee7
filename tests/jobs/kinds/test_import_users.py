"""project.import_users: people of a project elsewhere come into this one, and what they sign in with is left nowhere."""

from __future__ import annotations

import pytest

from jobs.kinds.project.import_users import ImportUsers
from jobs.requests import lifecycle
from tests.app.auth.test_imported_users import Elsewhere, by_copy, together


@pytest.fixture
def dump(life):
    life.provision()
    folder = life.infra.settings.imports_folder
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "auth.sql"


def users(life):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.auth) as session:
        return [row[0] for row in session.execute("SELECT email FROM auth.users ORDER BY email")]


def test_a_dumps_users_are_there_and_the_file_is_not(life, dump):
    dump.write_text(by_copy(together([Elsewhere("a@example.com"), Elsewhere("b@example.com")])))
    job = life.ask(lambda tx, project: lifecycle.import_users(tx, project, dump.name))
    assert (job.status, job.error) == ("succeeded", None)
    assert job.result["written"] | {} == job.result["found"]
    assert job.result["found"]["users"] == 2
    assert job.result["leftColumns"] == {"users": ["of_the_future"]}
    assert job.result["leftTables"] == {"schema_migrations": 2}
    assert users(life) == ["a@example.com", "b@example.com"]
    assert not dump.exists()


def test_a_trigger_of_the_owners_runs_with_no_more_than_their_rights(life, dump):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE public.seen (who text)")
        owner.execute(f"GRANT INSERT ON public.seen TO {tenant.roles.auth}")
        owner.execute("CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS "
                      "'BEGIN INSERT INTO public.seen VALUES (session_user || '' '' || current_user); RETURN NEW; END'")  # fmt: skip
        owner.execute("CREATE TRIGGER noted AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.note()")
        dump.write_text(by_copy(Elsewhere("a@example.com").tables()))
        job = life.ask(lambda tx, project: lifecycle.import_users(tx, project, dump.name))
        assert (job.status, job.error) == ("succeeded", None)
        assert owner.execute("SELECT who FROM public.seen").fetchall() == [
            (f"{tenant.roles.auth} {tenant.roles.auth}",)
        ]


@pytest.mark.parametrize("text", ["COPY auth.users (id, email) FROM stdin;\nx\ty\n\\.\n", None])
def test_a_file_that_is_no_such_dump_fails_the_job_with_the_reason(life, dump, text):
    if text is not None:
        dump.write_text(text)
    job = life.engine.enqueue(ImportUsers(life.id, dump.name))
    life.engine.runner.drain()
    job = life.engine.job(job.id)
    assert job.status == "failed"
    assert ("auth.users" if text else "imports folder") in job.error["detail"]
    assert users(life) == []
