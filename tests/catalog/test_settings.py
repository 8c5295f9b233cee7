"""Settings as they are kept: sparse, merged, and read by releases that know more or fewer of them."""

from __future__ import annotations

import pytest

from catalog import settings as kept
from catalog.settings_model import INSTALLATION, OUTSIDE, ProjectSettings, SettingsChanges


def change(**members):
    return SettingsChanges.model_validate(members)


def test_what_is_not_kept_has_the_installations_value_or_the_programs(settings):
    found = kept.effective({"signUp": False}, settings.model_copy(update={"project_connections": 17}))
    assert (found.sign_up, found.connections, found.access_token_seconds) == (False, 17, 900)
    assert kept.effective({}, settings).connections == 30


def test_only_what_was_given_is_kept():
    assert kept.merged({}, change(maxRows=5)) == {"maxRows": 5}
    assert kept.merged({"maxRows": 5, "signUp": False}, change(maxRows=None)) == {"signUp": False}
    assert kept.merged({"signUp": False}, change()) == {"signUp": False}


def test_a_secret_is_not_among_what_is_kept():
    assert kept.merged({}, change(smtpPassword="hush", smtpUser="u")) == {"smtpUser": "u"}


def test_what_another_release_has_kept_is_left_aside_and_stays_kept(settings):
    strange = {"maxRows": 5, "ofTomorrow": [1], "signInRatePerMinute": "many"}
    found = kept.effective(strange, settings)
    assert (found.max_rows, found.sign_in_rate_per_minute) == (5, 300)
    assert kept.merged(strange, change(maxRows=6)) == {**strange, "maxRows": 6}


def test_settings_cannot_be_changed_in_place(settings):
    found = kept.effective({}, settings)
    with pytest.raises(ValueError, match="frozen"):
        found.max_rows = 1


def test_what_the_lists_of_names_say_exists(settings):
    assert set(ProjectSettings.model_fields) >= OUTSIDE | set(INSTALLATION)
    assert all(hasattr(settings, name) for name in INSTALLATION.values())
    kept.effective(kept.as_json(kept.effective({}, settings)), settings)
