"""docs/project-settings.md says of each setting what the model says: its name, its default and its bounds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from annotated_types import Ge, Le, MaxLen, MinLen

from catalog.settings_model import INSTALLATION, SECRET_MAPS, SECRETS, ProjectSettings, SettingsChanges
from config.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "project-settings.md"
ROWS = {
    name: (default, bounds)
    for name, default, bounds in re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]*)\|", PAGE.read_text(), re.MULTILINE)
}
FIELDS = {str(field.alias): (name, field) for name, field in ProjectSettings.model_fields.items()}


def test_every_setting_is_documented_and_every_documented_one_exists():
    secret = {SettingsChanges.model_fields[name].alias for name in {*SECRETS, *SECRET_MAPS}}
    assert set(ROWS) == set(FIELDS) | secret
    assert {field.alias for field in SettingsChanges.model_fields.values()} == set(ROWS)


@pytest.mark.parametrize("alias", sorted(set(FIELDS) - {"mailTemplates"}))
def test_a_default_is_the_documented_one(alias):
    name, field = FIELDS[alias]
    said = ROWS[alias][0].strip("`")
    if name in INSTALLATION:
        assert said == Settings.model_fields[INSTALLATION[name]].validation_alias
        assert field.default == Settings.model_fields[INSTALLATION[name]].default
        return
    assert said == json.dumps(field.default, separators=(",", ":"))


@pytest.mark.parametrize("alias", sorted(FIELDS))
def test_bounds_are_the_documented_ones(alias):
    limits = FIELDS[alias][1].metadata
    bounds = [int(number) for number in re.findall(r"\d+", ROWS[alias][1])]
    for known, place in ((Ge, 0), (MinLen, 0), (Le, -1), (MaxLen, -1)):
        for limit in limits:
            if isinstance(limit, known):
                assert bounds[place] == next(iter(vars_of(limit)))


def vars_of(limit):
    return [getattr(limit, name) for name in ("ge", "le", "min_length", "max_length") if hasattr(limit, name)]
