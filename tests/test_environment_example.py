"""`.env.example` names every variable that the code reads and an operator may set, and no other."""

from __future__ import annotations

import re

import pytest

from config.client import ClientSettings
from config.deployment import EXAMPLE
from config.installation import parse
from config.settings import CHECKOUT, Settings
from infra.host.dotenv import is_placeholder, names_of
from infra.secrets import secretfiles

TEXT = (CHECKOUT / ".env.example").read_text()
# What only trials and single programs take from their environment.
NOT_IN_FILES = {"LAUNCHDB_CRASH", "LAUNCHDB_PROJECT_MIGRATIONS", "XDG_CONFIG_HOME"} | {
    str(field.validation_alias) for field in ClientSettings.model_fields.values()
}
# Read by compose.yaml, not by our code.
BY_COMPOSE = set(re.findall(r"\$\{([A-Z][A-Z0-9_]+)", (CHECKOUT / "compose" / "compose.yaml").read_text()))


def test_every_variable_is_in_the_example_and_every_one_of_the_example_is_read():
    read = {str(field.validation_alias) for field in Settings.model_fields.values()} - NOT_IN_FILES
    assert set(names_of(TEXT)) == read | set(secretfiles.NAMES) | BY_COMPOSE


@pytest.mark.parametrize("name", ["DOMAIN", "ACME_EMAIL"])
def test_what_an_operator_must_fill_in_is_seen_to_be_an_example(name):
    value = parse(TEXT).get(name, "")
    assert not value or EXAMPLE.search(value)


@pytest.mark.parametrize("name", sorted(secretfiles.NAMES))
def test_no_secret_of_the_example_is_taken_for_one(name):
    assert is_placeholder(name, parse(TEXT).get(name, ""))
