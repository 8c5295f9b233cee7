"""Does one thing to a project's Storage in a process that is killed outright at a point of it; see test_killed.

Read on standard input, a line of JSON each: what is done, and behind how many acts on disk or database it ends. Written on
standard output: `killed`, or `done` where there are not so many acts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from app.data.run import pipeline
from app.storage.serve import transaction
from app.storage.service import s3_dialect
from infra.blobs import folders, local_folder
from tests.app.storage.world import StorageWorld
from tests.fixtures.projects import Tenant

ACTS = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")


def main() -> None:
    """Fork a process for each line, which nothing of another's is left in."""
    s3_dialect()  # its libraries are loaded by us, once, and not by each of them
    place = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            carry_out(place, **json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else f"done {status}", flush=True)


def carry_out(place, do, after) -> None:
    """Do it, and die behind so many acts."""
    count = iter(range(after, -1, -1))

    def act(real):
        def done(*given, **named):
            result = real(*given, **named)
            if real is os.open and not given[1] & os.O_CREAT:
                return result  # who dies behind it leaves what they have found
            if next(count) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return done

    for module in (local_folder, folders):
        module.os = SimpleNamespace(**{name: act(value) if name in ACTS else value for name, value in vars(os).items()})
    # Of each round trip: what was asked has left and nobody hears the answer, or it was heard.
    asked, answered = act(lambda pg: pg.flush()), pipeline._received

    def received(pg, total, inflow):
        asked(pg)
        return answered(pg, total, inflow)

    pipeline._received = received
    transaction.run_pipeline = act(transaction.run_pipeline)
    world = StorageWorld.reopened(place, Tenant(None, place["id"], {}))
    for method, path, body, headers in do:
        content = body.encode() if isinstance(body, str) else body
        answer = world.call(method, path.replace("LOCATION", place.get("location", "")), content, headers=headers)
        assert answer.status_code < 500, answer.text
        if "Location" in answer.headers:
            place["location"] = answer.headers["Location"].partition("/storage/v1")[2]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    main()
