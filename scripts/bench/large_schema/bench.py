"""A data API of 3,000 tables, 500 views and 2,000 functions: how long it takes to know them, and what they hold."""

from __future__ import annotations

import sys

import psycopg

from app.data import config
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from scripts.bench.figures import Figure, exit_status, print_figures
from scripts.bench.installation import installation
from scripts.bench.large_schema.generator import SchemaSize, create
from scripts.bench.large_schema.measures import LargeSchemaFigures, measure

# Seconds, and megabytes.
FIRST, EMBEDDING, DESCRIPTION, CACHE_MB = 1.5, 1.0, 2.0, 40.0


def figures(kind: str, found: LargeSchemaFigures) -> list[Figure]:
    """Return what was measured against its aims."""
    return [
        Figure(f"{kind}: first request", found.first_request, "s", None, "1.5 s", found.first_request < FIRST),
        Figure(f"{kind}: first embedding", found.first_embedding, "s", None, "1 s", found.first_embedding < EMBEDDING),
        Figure(f"{kind}: description", found.description, "s", None, "2 s", found.description < DESCRIPTION),
        Figure(f"{kind}: unknown name, slowest", found.unknown_name, "s"),
        Figure(f"{kind}: reloads by 100 unknown names", found.reloads, "", None, "0", found.reloads == 0),
        Figure(f"{kind}: slowest request while it changes", found.reload, "s"),
        Figure(f"{kind}: failed while it changes", found.failed, "", None, "0", found.failed == 0),
        Figure(f"{kind}: schema cache", found.cache_mb, "MB", None, "40 MB", found.cache_mb < CACHE_MB),
    ]


def main() -> int:
    """Measure a project, which keeps a stamp of its schema, and the same without; return 1 when an aim is missed."""
    with installation() as at:
        project: str = at.create("bench", wait_seconds=60)["project"]["id"]
        read = config.from_text((at.settings.instances_folder / project / "data-api.conf").read_text())
        with psycopg.connect(at.infra.database.conninfo, dbname=project, autocommit=True) as owner:
            create(owner, SchemaSize(), read.db_anon_role)
            owner.execute("ANALYZE")
            found = figures("stamped", measure(lambda: Instance(read, Budget(20)), owner))
            owner.execute("ALTER FUNCTION launchdb.schema_stamp() RENAME TO another_stamp")
            found += figures("no stamp", measure(lambda: Instance(read, Budget(20)), owner))
    print_figures("A schema of 3,000 tables, 500 views and 2,000 functions", found)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main())
