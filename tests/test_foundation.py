"""The ground: migrations apply once and refuse edited files."""

import psycopg
import pytest

from infra.errors import Refused
from infra.postgres import migrations


def test_migrations_apply_once_and_then_do_nothing(platform_url):
    with psycopg.connect(platform_url, autocommit=True) as connection:
        assert migrations.apply_migrations(connection, "platform") == []


def test_an_edited_migration_is_refused_by_name(platform_url):
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'edited' WHERE version = '0001_baseline'")
        with pytest.raises(Refused, match="0001_baseline"):
            migrations.apply_migrations(connection, "platform")
