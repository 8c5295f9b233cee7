"""Killed at every place of its way, a rotation ends as an undisturbed one, and the key that is shown is always good."""

from __future__ import annotations

import json
from typing import NamedTuple

import psycopg
import pytest

from catalog import names, secrets
from infra.instances.auth_files import AuthFiles, AuthSpec
from infra.secrets import signing_keys, tokens
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.platform.rotate_fleet import RotateFleet
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.kinds.project.restart import RestartProject
from jobs.kinds.project.retire_secret import RetireSecret
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.kinds.project.rotate_signing_key import RotateSigningKey
from jobs.projects import data_plane, drift
from jobs.projects.signing_keys import keys_of
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import installation, pass_on, prepare, run_here, steps, write
from tests.crash.places import places, places_with
from tests.crash.test_maintenance import result
from tests.fixtures.projects import drop, stored_tenant

__all__ = ["installation"]
DAY = 24 * 3600


class Found(NamedTuple):
    """A job that somebody else has written."""

    id: str


def known(infra, project):
    with infra.database.autocommit() as tx:
        return secrets.read_all(tx, infra.vault, project)


def keys_of_data_api(settings, project):
    """The keys that the data API takes, each with its end."""
    lines = (settings.instances_folder / project / "data-api.conf").read_text().splitlines()
    secret = json.loads(next(line.partition(" = ")[2] for line in lines if line.startswith("jwt-secret = ")))
    return tokens.verification_keys(secret), any("before" in line for line in lines)


def is_good(settings, project, token) -> bool:
    try:
        tokens.signed_claims(token, keys_of_data_api(settings, project)[0])
    except tokens.SignatureRefused:
        return False
    return True


def shown_is_good(settings, infra, project) -> None:
    """What the connection shows can be used now, wherever the worker died."""
    shown = known(infra, project)
    assert is_good(settings, project, shown[names.ANON_KEY])
    owner = names.roles(project).owner
    passwords = {shown[names.password(owner)], shown.wanted(names.password(owner))}
    opened = []
    for password in passwords:
        try:
            psycopg.connect(infra.databases.uri(project, owner, password)).close()
            opened.append(password)
        except psycopg.OperationalError:
            continue
    assert len(opened) == 1


@pytest.mark.parametrize(("crash", "secret"), places_with(RotateSecret, ["databasePassword", "jwtSecret"]))
def test_a_killed_rotation_resumes_and_ends_the_same(secret, crash, settings, installation):
    project = prepare(settings, installation, ())
    try:
        before = known(installation, project)
        job = write(installation, RotateSecret(project, secret, DAY if secret == "jwtSecret" else 0))
        assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        shown_is_good(settings, installation, project)
        pass_on(installation)
        run_here(installation, job)
        after = known(installation, project)
        changed = {name for name in before if before[name] != after[name]}
        roles = names.roles(project)
        wanted = {
            "databasePassword": {names.password(login) for login in roles.logins},
            "jwtSecret": {names.JWT_SECRET, names.ANON_KEY, names.SERVICE_KEY, names.MAIL_KEY},
        }
        assert changed == wanted[secret]
        # No version is left that nobody waits for, and none was made twice.
        assert {len(after.versions[name]) for name in changed} == {2 if secret == "jwtSecret" else 1}
        assert not any(version.coming for versions in after.versions.values() for version in versions)
        tenant = stored_tenant(installation, project)
        for login in roles.logins:
            tenant.connect(login).close()
        keys, two_passwords = keys_of_data_api(settings, project)
        assert (len(keys), two_passwords) == (2 if secret == "jwtSecret" else 1, False)
        assert is_good(settings, project, after[names.SERVICE_KEY])
        assert is_good(settings, project, before[names.SERVICE_KEY])
        seen = installation.databases.survey(roles, "test")
        with installation.database.autocommit() as tx:
            row = tx.row("SELECT id, status, pool_size FROM projects WHERE id = %s", (project,))
            retiring = tx.value("SELECT count(*) FROM jobs WHERE kind = 'project.retire_secret' AND run_at > now()")
        assert drift.differences(installation, seen, drift.WantedProject(**row), after) == [], (
            "what was rotated is no drift"
        )
        assert retiring == (1 if secret == "jwtSecret" else 0)
        assert set(steps(installation, job).values()) == {"succeeded"}
    finally:
        drop(installation, project)


def signs(infra, settings, project) -> str:
    """The id of the key that signs now; what it signs is good with everybody, wherever the worker died."""
    spec = AuthSpec.from_json(AuthFiles(settings.auth_folder).path(project).read_text())
    token = tokens.sign_token({"role": "authenticated"}, spec.signing_key)
    assert is_good(settings, project, token)
    of_storage = json.loads(infra.storage.path(project).read_text())["jwt_secret"]
    for secret in (spec.jwt_secret, of_storage):
        tokens.signed_claims(token, tokens.verification_keys(secret))
    return signing_keys.signer(spec.signing_key).kid


@pytest.mark.parametrize("crash", places(RotateSigningKey))
def test_a_killed_rotation_of_signing_keys_resumes_and_no_token_is_unknown(crash, settings, installation):
    project = prepare(settings, installation, ())
    try:
        run_here(installation, write(installation, RotateSigningKey(project, "RS256")))
        before = signs(installation, settings, project)
        old = tokens.sign_token({"role": "authenticated"}, data_plane.signing_key(known(installation, project)))
        job = write(installation, RotateSigningKey(project, "ES256", grace_seconds=DAY))
        assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        signs(installation, settings, project)
        pass_on(installation)
        run_here(installation, job)
        keys = keys_of(known(installation, project))
        assert [(key.algorithm, key.state) for key in keys] == [("ES256", "in_use"), ("RS256", "previous")]
        assert (keys[0].id, keys[1].id) == (signs(installation, settings, project), before)
        assert is_good(settings, project, old)
        assert len(keys_of_data_api(settings, project)[0]) == 3
        seen = installation.databases.survey(names.roles(project), "test")
        with installation.database.autocommit() as tx:
            row = tx.row("SELECT id, status, pool_size FROM projects WHERE id = %s", (project,))
            retiring = tx.value("SELECT count(*) FROM jobs WHERE kind = 'project.retire_secret' AND run_at > now()")
        wanted = drift.WantedProject(**row)
        assert drift.differences(installation, seen, wanted, known(installation, project)) == []
        assert retiring == 1
    finally:
        drop(installation, project)


@pytest.mark.parametrize("crash", places(RetireSecret))
def test_a_killed_retirement_resumes_and_the_old_key_is_dead(crash, settings, installation):
    project = prepare(settings, installation, ())
    try:
        before = known(installation, project)
        run_here(installation, write(installation, RotateSecret(project, "jwtSecret", DAY)))
        with installation.database.autocommit() as tx:
            tx.execute("UPDATE secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
            tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE kind = 'project.retire_secret'")
            job_id = tx.value("SELECT id FROM jobs WHERE kind = 'project.retire_secret'")
        # The parent, its child, the parent again: it dies in one of its turns.
        codes = [attempt_in_a_process(settings, crash=crash)]
        while codes[-1] != EXIT_STATUS and len(codes) < 4:
            codes.append(attempt_in_a_process(settings, crash=crash))
        assert codes[-1] == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, Found(job_id))
        assert len(keys_of_data_api(settings, project)[0]) == 1
        assert not is_good(settings, project, before[names.ANON_KEY])
        assert is_good(settings, project, known(installation, project)[names.ANON_KEY])
    finally:
        drop(installation, project)


@pytest.mark.parametrize("crash", places(RotateFleet))
def test_a_killed_fleet_resumes_and_rotates_each_once(crash, settings, installation):
    projects = [prepare(settings, installation, ()) for _ in range(2)]
    try:
        job = write(installation, RotateFleet("databasePassword"))
        codes = [attempt_in_a_process(settings, crash=crash)]
        while codes[-1] != EXIT_STATUS and len(codes) < 4:
            codes.append(attempt_in_a_process(settings, crash=crash))
        assert codes[-1] == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        with installation.database.autocommit() as tx:
            children = tx.value("SELECT count(*) FROM jobs WHERE parent_id = %s", (job.id,))
        assert (result(installation, job), children) == ({"rotated": 2, "failed": []}, 2)
    finally:
        for project in projects:
            drop(installation, project)


def test_a_rotation_given_up_is_gone_on_with_by_the_next(settings, installation):
    project = prepare(settings, installation, ())
    try:
        with installation.database.transaction() as tx:
            for login in names.roles(project).logins:
                secrets.put(tx, installation.vault, project, names.password(login), f"{login}-from-before", coming=True)
        run_here(installation, write(installation, RotateSecret(project, "databasePassword")))
        owner = names.roles(project).owner
        assert known(installation, project)[names.password(owner)] == f"{owner}-from-before"
        stored_tenant(installation, project).connect(owner).close()
    finally:
        drop(installation, project)


def leave_coming(infra, project) -> None:
    """What a rotation leaves that was given up before it could set the passwords."""
    with infra.database.transaction() as tx:
        for login in names.roles(project).logins:
            secrets.put(tx, infra.vault, project, names.password(login), f"{login}-is-coming", coming=True)


def test_what_mends_a_project_sets_no_password_that_is_not_in_force(settings, installation):
    """A rotation was given up early: the sweep and a restart must not take the password away that is shown."""
    project = prepare(settings, installation, ())
    try:
        leave_coming(installation, project)
        seen = installation.databases.survey(names.roles(project), "test")
        with installation.database.autocommit() as tx:
            row = tx.row("SELECT id, status, pool_size FROM projects WHERE id = %s", (project,))
        found = drift.differences(installation, seen, drift.WantedProject(**row), known(installation, project))
        assert not [fault for fault in found if "password" in fault]
        run_here(installation, write(installation, RestartProject(project)))
        run_here(installation, write(installation, ReconcileProject(project)))
        run_here(installation, write(installation, RotateSecret(project, "jwtSecret")))
        for login in names.roles(project).logins:
            stored_tenant(installation, project).connect(login).close()
        run_here(installation, write(installation, RotateSecret(project, "databasePassword")))
        owner = names.roles(project).owner
        assert known(installation, project)[names.password(owner)] == f"{owner}-is-coming"
        stored_tenant(installation, project).connect(owner).close()
    finally:
        drop(installation, project)


def test_what_mends_a_project_keeps_a_coming_password_that_is_set(settings, installation):
    """A rotation was given up between the roles and the catalogue: the way back would be one more change."""
    project = prepare(settings, installation, ())
    try:
        leave_coming(installation, project)
        roles = names.roles(project)
        coming = {login: f"{login}-is-coming" for login in roles.logins}
        installation.databases.ensure_roles(roles, coming, "test")
        run_here(installation, write(installation, ReconcileProject(project)))
        for login, password in coming.items():
            psycopg.connect(installation.databases.uri(project, login, password)).close()
    finally:
        drop(installation, project)
