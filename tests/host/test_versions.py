"""Which earlier version can live with a schema."""

from __future__ import annotations

import pytest

from config.version import VERSION
from infra.errors import Refused
from infra.migrations import Migration, read
from scripts.stack import checkout
from scripts.stack.update import refuse_irreversible

APPLIED = [
    {"version": "0001_catalogue", "reversible": True},
    {"version": "0030_more", "reversible": True},
    {"version": "0031_fewer", "reversible": False},
    {"version": "0032_less", "reversible": False},
]


def test_an_earlier_version_runs_on_a_schema_that_only_has_more():
    refuse_irreversible(APPLIED[:2], {"0001_catalogue"}, "0.1.0")


def test_a_change_that_cannot_be_lived_with_is_refused_by_name():
    with pytest.raises(Refused, match="0031_fewer, 0032_less cannot be taken back"):
        refuse_irreversible(APPLIED, {"0001_catalogue"}, "0.1.0")


def test_a_version_that_knows_the_change_is_not_earlier():
    refuse_irreversible(APPLIED, {row["version"] for row in APPLIED}, "0.2.0")


def test_a_migration_says_in_its_header_that_there_is_no_way_back():
    assert Migration("1", "", "-- adds a column\nALTER TABLE a ADD b int;").reversible
    assert not Migration("1", "", "-- drops a column\n-- reversible: no\nALTER TABLE a DROP b;").reversible


def test_every_schema_change_so_far_can_be_lived_with():
    assert [one.version for one in read("platform") if not one.reversible] == []


def test_the_checkout_says_its_version():
    assert checkout.version() == VERSION
