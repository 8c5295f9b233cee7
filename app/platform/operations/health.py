"""Whether this process answers, and whether what it depends on does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.http.answers import HealthOut, ReadyOut
from app.http.routing import Call, Routes, ViewResponse
from infra import exhaustion
from infra.disk import disk_shortage
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.http.context import AppContext

routes = Routes("health")
NO_STORE = {"Cache-Control": "no-store"}


@routes.get("/api/health", who="anyone", limit="none", answers={200: HealthOut})
def health(_call: Call) -> ViewResponse:
    """Answers while the process does; looks at nothing else."""
    return ViewResponse({"status": "ok", "service": "platform-api"}, headers=NO_STORE)


@routes.get("/api/ready", who="anyone", limit="none", answers={200: ReadyOut, 503: ReadyOut})
def ready(call: Call) -> ViewResponse:
    """Shows what the API depends on and how long each took to answer; without Redis or room it works, but worse."""
    if exhaustion.shortage():
        # What it depends on may be well: nobody here is able to ask.
        found = {"process": _probe(lambda: False)}
        return ViewResponse({"status": "unavailable", "dependencies": found}, 503, NO_STORE)
    found = {
        "postgres": _probe(lambda: _postgres_answers(call.world)),
        "redis": _probe(lambda: call.world.infra.doorbell.waiting("control") is not None),
        "disk": _probe(lambda: not disk_shortage(call.world.settings)),
    }
    away = {name for name, state in found.items() if state["status"] != "ok"}
    status = "unavailable" if "postgres" in away else "degraded" if away else "ok"
    return ViewResponse({"status": status, "dependencies": found}, 503 if "postgres" in away else 200, NO_STORE)


def _postgres_answers(world: AppContext) -> bool:
    try:
        world.infra.database.check()
    except Unavailable:
        return False
    return True


def _probe(answers: Callable[[], bool]) -> dict[str, Any]:
    started = time.perf_counter()
    ok = answers()
    return {
        "status": "ok" if ok else "unavailable",
        "latencyMs": round((time.perf_counter() - started) * 1000, 2),
    }
