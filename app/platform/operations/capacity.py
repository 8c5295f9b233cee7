"""What fits on this server, and the one size of all pools; operators only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations.answers_operator import CapacityOut, PoolsOut
from app.platform.operations.models_operator import CapacityQuery, NewPoolSize
from catalog import capacity
from jobs.requests.lifecycle import configure

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

routes = Routes("capacity")


@routes.get("/api/admin/capacity", who="operator", query=CapacityQuery, answers={200: CapacityOut})
def show_capacity(call: Call) -> ViewResponse:
    """Shows what the projects need by the guide's formulas, for those there are or ?projects=N, and what is used."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse(capacity.capacity_report(tx, call.world.settings, call.query.projects))


@routes.change(
    "PATCH", "/api/admin/capacity", action="capacity.pools", who="operator", body=NewPoolSize, answers={200: PoolsOut}
)
def set_pools(call: Call, tx: Transaction) -> ViewResponse:
    """Gives every project a pool of this size, those to come included; a job brings each active one its own."""
    changed = capacity.set_pools(tx, call.world.settings, call.body.pool_size)
    by = {"by": call.owner_id, "request_id": call.request_id}
    jobs = [
        configure(tx, project["id"], owner_id=project["owner_id"], **by).id
        for project in changed
        if project["status"] == "active"
    ]
    return ViewResponse({"poolSize": call.body.pool_size, "changed": len(changed), "jobs": jobs})
