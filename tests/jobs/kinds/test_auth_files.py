"""What Auth is told of a project: a file that every job keeps as the catalogue has it, and that goes with the project."""

from __future__ import annotations

import stat

import psycopg
import pytest

from app.auth.serve.project import AuthProjects
from catalog import names, secrets, settings
from catalog.settings_model import SettingsChanges
from infra.instances.auth_files import AuthSpec
from infra.secrets import tokens
from jobs.kinds import ConfigureProject
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.loops.sweeper import Sweeper
from jobs.projects import data_plane, project_secrets
from jobs.requests import lifecycle


@pytest.fixture
def active(life):
    """A provisioned project."""
    life.provision()
    return life


@pytest.fixture
def served(infra):
    """What one process of Auth has of the projects."""
    made = AuthProjects(infra.settings.auth_folder, connections_max=8)
    yield made
    made.close()


def told(life) -> AuthSpec:
    return AuthSpec.from_json(life.infra.auth.path(life.id).read_text())


def change(life, **changes) -> None:
    with life.infra.database.transaction() as tx:
        kept = settings.read(tx, life.id)
        wanted = SettingsChanges.model_validate(changes)
        change = settings.change(tx, life.infra, kept, wanted, bounded=True, world=True)
        assert change.outside, "a job brings it"
    job = life.engine.enqueue(ConfigureProject(life.id))
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"


def test_a_project_that_is_provisioned_has_all_that_auth_needs_for_its_eyes_only(active):
    spec, known, roles = told(active), active.secrets(), names.roles(active.id)
    assert spec.db_uri == active.tenant().uri(roles.auth)
    assert (spec.signing_key, spec.mail_key) == (known[names.JWT_SECRET], known[names.MAIL_KEY])
    assert tokens.verification_keys(spec.jwt_secret)
    assert spec.url == f"{active.infra.settings.base_url}/project/{active.id}"
    assert spec.roles == {"anon": roles.anon, "authenticated": roles.authenticated, "service_role": roles.service}
    assert not spec.has_mail, "letters go into the mailbox, where nobody has to look"
    file = active.infra.auth.path(active.id)
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("leaves", "comes_back"), [(lifecycle.pause, lifecycle.resume), (None, lifecycle.restart)], ids=["pause", "restart"]
)
def test_auth_lets_go_of_a_project_that_is_closed_and_has_it_again_afterwards(active, leaves, comes_back):
    before = told(active)
    if leaves is not None:
        active.ask(leaves)
        assert not active.infra.auth.exists(active.id)
    assert active.ask(comes_back).status == "succeeded"
    assert told(active) == before


@pytest.mark.gpg
def test_nothing_of_it_is_left_of_a_deleted_project(active):
    active.delete()
    assert active.infra.auth.list() == []


def test_what_is_set_of_auth_and_mail_is_there_after_one_job_and_for_a_paused_one_when_it_comes_back(active):
    change(active, siteUrl="https://shop.example.org", autoconfirm=False)
    assert (told(active).settings["siteUrl"], told(active).has_mail) == ("https://shop.example.org", False)
    change(active, smtpHost="mail.example.org", mailFrom="shop@example.org")
    assert told(active).has_mail
    active.ask(lifecycle.pause)
    change(active, passwordMinLength=12)
    assert not active.infra.auth.exists(active.id)
    active.ask(lifecycle.resume)
    assert told(active).settings["passwordMinLength"] == 12


def test_secrets_of_settings_reach_auth_by_the_same_job_and_leave_with_it(active):
    google = {"clientId": "shop"}
    change(active, oauthProviders={"google": google}, oauthSecrets={"google": "hush-1"}, captchaSecret="hush-2")
    assert told(active).secrets == {"oauth_secret_google": "hush-1", "captcha_secret": "hush-2"}
    change(active, oauthSecrets={"google": None})
    assert told(active).secrets == {"captcha_secret": "hush-2"}


def test_a_setting_that_does_not_concern_auth_leaves_its_file_alone(active):
    before = active.infra.auth.path(active.id).stat().st_ino
    change(active, maxRows=7)
    assert active.infra.auth.path(active.id).stat().st_ino == before


def rotate(life, secret) -> None:
    job = life.engine.enqueue(RotateSecret(life.id, secret))
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"


def test_a_new_password_is_known_to_auth_before_the_login_takes_it(active, served, monkeypatch):
    seen = []

    def exchange(run, passwords):
        spec = told(active)
        seen.append((spec.db_uri, spec.db_uri_before))
        with served.find(active.id).autocommit() as tx:  # by the one before, which is the login's still
            seen.append(tx.value("SELECT 1"))
        data_plane.set_passwords(run, passwords)
        served.trim()
        with served.find(active.id).transaction() as tx:
            seen.append(tx.value("SELECT 2"))

    before = told(active)
    monkeypatch.setattr(data_plane, "exchange_passwords", exchange)
    rotate(active, project_secrets.DATABASE_PASSWORD)
    uris, first, second = seen
    assert uris[1] == before.db_uri
    assert uris[0] != before.db_uri
    assert (first, second) == (1, 2)
    after = told(active)
    assert (after.db_uri, after.db_uri_before) == (uris[0], "")


def test_a_new_jwt_secret_signs_once_it_is_shown_and_nobody_is_signed_out_before(active):
    before = told(active)
    users = tokens.sign_token({"sub": "u"}, before.signing_key)
    job = active.engine.enqueue(RotateSecret(active.id, project_secrets.JWT_SECRET, 3600))
    active.engine.runner.drain()
    assert active.engine.job(job.id).status == "succeeded"
    after = told(active)
    assert after.signing_key == active.secrets()[names.JWT_SECRET] != before.signing_key
    tokens.signed_claims(users, tokens.verification_keys(after.jwt_secret))


def test_the_key_of_letters_goes_with_the_jwt_secret_and_not_with_passwords(active):
    before = told(active).mail_key
    rotate(active, project_secrets.DATABASE_PASSWORD)
    assert told(active).mail_key == before
    rotate(active, project_secrets.JWT_SECRET)
    assert told(active).mail_key == active.secrets()[names.MAIL_KEY] != before


def test_a_restored_database_is_reached_at_once(active, served):
    with served.find(active.id).autocommit() as tx:
        assert tx.value("SELECT 1") == 1
    with psycopg.connect(active.infra.database.conninfo, autocommit=True) as admin:  # as a swap ends all sessions
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (active.id,))
    with served.find(active.id).transaction() as tx:
        assert tx.value("SELECT 2") == 2


def _missing(life):
    life.infra.auth.path(life.id).unlink()


def _changed(life):
    life.infra.auth.path(life.id).write_text("{}")


def _readable(life):
    life.infra.auth.path(life.id).chmod(0o644)


def _keyless(life):
    with life.infra.database.autocommit() as tx:
        secrets.delete(tx, life.id, names.MAIL_KEY)


@pytest.mark.parametrize("tamper", [_missing, _changed, _readable, _keyless])
def test_the_sweep_finds_what_was_done_to_the_file_and_has_it_mended(active, tamper):
    before = told(active)
    tamper(active)
    assert Sweeper(active.infra).run_once() == 1
    active.engine.runner.drain()
    after = told(active)
    assert after.mail_key == active.secrets()[names.MAIL_KEY]
    assert after.db_uri == before.db_uri
    assert Sweeper(active.infra).run_once() == 0


def test_a_file_of_nobodys_is_named_and_one_of_a_paused_project_is_removed(active):
    text = active.infra.auth.path(active.id).read_text()
    active.ask(lifecycle.pause)
    for project in (active.id, "proj_" + "0" * 16):
        active.infra.auth.path(project).write_text(text)
    assert Sweeper(active.infra).run_once() == 1
    active.engine.runner.drain()
    assert active.infra.auth.list() == ["proj_" + "0" * 16]
    with active.infra.database.autocommit() as tx:
        named = tx.rows("SELECT detail FROM audit WHERE action = 'drift.stray'")
    assert [row["detail"] for row in named] == [{"kind": "auth", "name": "proj_" + "0" * 16}]
