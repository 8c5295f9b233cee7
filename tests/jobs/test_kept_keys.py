"""Which keys of a project come back with a backup: all of them where it was gone, and no revoked one where it is not."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from catalog import names, secrets
from infra.secrets import signing_keys
from jobs.backup import backups, importing
from jobs.kinds.backup.restore import KeptBesideData, RestoreProject, restore_secrets
from jobs.projects import api_keys
from tests.fixtures.projects import add_project


@pytest.fixture
def gone(infra, master_key):
    """A project that is being restored and has no secrets, and what a backup keeps of those it had."""
    project = add_project(infra, status="restoring")
    with infra.database.transaction() as tx:
        for name in backups.KEYS:
            secrets.put(tx, infra.vault, project, name, f"{name} of before, long enough for all")
        secrets.put(tx, infra.vault, project, names.SIGNING_KEY, signing_keys.make_signing_key("ES256"))
        api_keys.make(tx, infra.vault, project, name="the worker", key_type="secret")
        known = secrets.read_all(tx, infra.vault, project)
        kept = {name: value for name, value in known.items() if backups.is_kept(name)}
        secrets.delete_all(tx, project)
    return project, kept


def restore(infra, project, kept):
    run = SimpleNamespace(args=RestoreProject(project, "bkp_" + "0" * 32))
    with infra.database.transaction() as tx:
        restore_secrets(run, tx, KeptBesideData(kept, {}, infra.vault))
        return secrets.read_all(tx, infra.vault, project)


def test_a_project_that_was_gone_has_all_its_keys_again(infra, gone):
    project, kept = gone
    known = restore(infra, project, kept)
    assert dict(known) == kept
    assert [key.name for key in api_keys.keys_of(known)] == ["the worker"]


def test_a_key_that_was_revoked_since_the_backup_stays_revoked(infra, gone):
    project, kept = gone
    (key,) = api_keys.keys_of(restore(infra, project, kept))
    with infra.database.transaction() as tx:
        api_keys.revoke(tx, project, key.id)
    known = restore(infra, project, kept)
    assert api_keys.accepted(known) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.SIGNING_KEY, "no key"),
        (names.SIGNING_KEY, "{}"),
        (names.SIGNING_KEY, json.dumps(signing_keys.public_jwk(json.loads(signing_keys.make_signing_key("RS256"))))),
        ("api_key:key_1", "{}"),
        ("api_key:key_1", "no key"),
        ("api_key:key_1", json.dumps({"name": "x", "type": "owner", "value": "x", "sha256": "0" * 64})),
        ("api_key:key_1", json.dumps({"name": "x", "type": "secret", "value": "x", "sha256": "*"})),
    ],
)
def test_what_is_no_key_is_no_part_of_an_export(name, value):
    assert not importing.is_whole(name, value)
    assert importing.is_whole(names.SIGNING_KEY, signing_keys.make_signing_key("ES256"))
