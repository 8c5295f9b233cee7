"""How large the databases of this installation are; operators only."""

from __future__ import annotations

from app.http.routing import Answer, Call, Routes
from app.platform.operations.answers_operator import DatabasesOut
from catalog import projects
from infra.postgres.sizes import sizes

routes = Routes("databases")
SESSION = "launchdb-databases"


@routes.get("/api/admin/databases", who="operator", answers={200: DatabasesOut})
def listing(call: Call) -> Answer:
    """Lists the databases by size, the largest first, with the project that each belongs to."""
    infra = call.world.infra
    found = sizes(infra.databases.cluster, SESSION)
    with infra.database.autocommit() as tx:
        known = projects.names_of(tx, [size.name for size in found])
    return Answer(
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
