"""What an installation in use is not started with, whatever the environment says."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from config.settings import CHECKOUT, SettingsError, load


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


def test_a_project_s_container_is_given_all_that_its_data_api_imports():
    imported = "import sys, app.data.serve.standalone, app.data.serve.process; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", imported], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    wanted = {name.partition(".")[0] for name in said.stdout.split()} & set(packages_distributions())
    given = (CHECKOUT / "compose" / "images" / "data-api" / "python-packages").read_text().replace("-", "_").split()
    made = packages_distributions()
    lacking = {name for name in wanted if not {one.lower().replace("-", "_") for one in made[name]} & set(given)}
    # What cryptography takes where it is there, and what a virtual environment brings along.
    assert lacking <= {"bcrypt", "_distutils_hack"}
    ours = {path.name for path in CHECKOUT.iterdir() if (path / "__init__.py").exists()}
    assert {name.partition(".")[0] for name in said.stdout.split()} & ours == {"app", "config", "infra"}
