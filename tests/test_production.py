"""What an installation in use is not started with, whatever the environment says."""

from __future__ import annotations

import pytest

from config.settings import SettingsError, load


def settings(**more):
    return load({"LAUNCHDB_HOME": "/nowhere", **more}, recall=False)


def test_a_place_to_die_at_is_for_trials_alone():
    place = {"LAUNCHDB_CRASH": "trial.build:first:after_act"}
    assert settings(**place).crash
    with pytest.raises(SettingsError, match="LAUNCHDB_CRASH is refused"):
        settings(LAUNCHDB_ENV="production", DOMAIN="db.launchdb.test", ACME_EMAIL="ops@launchdb.test", **place)
        pytest.fail("In production no worker is told to die")


def test_a_lease_outlasts_two_missed_beats_and_the_giving_up():
    assert settings(LAUNCHDB_LEASE_SECONDS="13.5").lease_seconds == 13.5
    with pytest.raises(SettingsError, match="LAUNCHDB_LEASE_SECONDS must exceed"):
        settings(LAUNCHDB_LEASE_SECONDS="13")
        pytest.fail("A worker stops by itself before its lease ends, though it misses two beats")
