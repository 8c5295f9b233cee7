"""How large the databases of this installation are; operators only."""

from __future__ import annotations

from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations.answers_operator import DatabasesOut
from catalog import projects
from infra.postgres.sizes import database_sizes

routes = Routes("databases")
SESSION = "launchdb-databases"


@routes.get("/api/admin/databases", who="operator", answers={200: DatabasesOut})
def list_databases(call: Call) -> ViewResponse:
    """Lists the databases by size, the largest first, with the project that each belongs to."""
    infra = call.world.infra
    found = database_sizes(infra.databases.cluster, SESSION)
    with infra.database.autocommit() as tx:
        known = projects.names_of(tx, [size.name for size in found])
    return ViewResponse(
        {
            "databases": [
                {
                    "name": size.name,
                    "bytes": size.bytes,
                    "size": size.words,
                    "projectId": size.name if size.name in known else None,
                    "projectName": known.get(size.name),
                }
                for size in found
            ]
        }
    )
