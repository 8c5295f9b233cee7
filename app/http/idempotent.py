"""Changes that happen once: key row, change, job and audit row are one transaction."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import request

from app.http import auth
from app.http.problems import Problem
from app.http.routing import Answer
from catalog import audit, idempotency
from catalog.idempotency import Kept, Key
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.http.routing import Call, Operation
    from infra.postgres.database import Transaction

REPLAYED = "Idempotency-Replayed"
RACES = 3
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class Turns:
    """Requests with one key take turns before they take a connection: a thousand repeats hold one, not a thousand."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Key, tuple[threading.Lock, int]] = {}

    @contextmanager
    def take(self, key: Key) -> Iterator[None]:
        """Wait for this key's turn."""
        with self._lock:
            turn, waiting = self._held.get(key, (threading.Lock(), 0))
            self._held[key] = (turn, waiting + 1)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                turn, waiting = self._held[key]
                self._held[key] = (turn, waiting - 1)
                if waiting == 1:
                    del self._held[key]


_turns = Turns()


def run(operation: Operation, call: Call, path: dict[str, str]) -> Answer:
    """Let the change happen, or return the first answer to this key. Raises what the view raises, and Problem."""
    key = _key(operation, call, path)
    for _ in range(RACES):
        try:
            return _once(operation, call, path, key)
        except Unavailable as error:
            if not _lost_race(error):
                raise
    return _once(operation, call, path, key)


def _once(operation: Operation, call: Call, path: dict[str, str], key: Key | None) -> Answer:
    if key is None:
        with call.world.infra.database.transaction() as tx:
            return _change(operation, call, path, tx)
    with _turns.take(key), call.world.infra.database.transaction() as tx:
        kept = idempotency.reserve(tx, key)
        if kept is not None:
            return _replay(kept)
        if call.caller is not None:
            auth.count(call.world, operation, call.caller, call.address)
        answer = _change(operation, call, path, tx)
        idempotency.keep(tx, key, Kept(answer.status, _kept_headers(answer), answer.body))
        return answer


def _lost_race(error: Unavailable) -> bool:
    """Say whether the transaction was rolled back for another's sake: then it can be done again at once."""
    return getattr(error.__cause__, "sqlstate", None) in ("40001", "40P01")


def _change(operation: Operation, call: Call, path: dict[str, str], tx: Transaction) -> Answer:
    answer: Answer = operation.view(call, tx, **path)
    entry = audit.Entry(
        actor=call.caller.actor if call.caller else "anonymous",
        action=operation.action,
        address=call.address,
        request_id=call.request_id,
        owner_id=call.owner_id,
        project_id=answer.project_id,
        job_id=answer.job_id,
        detail={**{name: value for name, value in path.items() if name != "project_id"}, **answer.told},
    )
    audit.record(tx, entry)
    return answer


def _kept_headers(answer: Answer) -> dict[str, str]:
    # The job and the project are remembered, so that a replay can wait for them too.
    hidden = {"job_id": answer.job_id or "", "project_id": answer.project_id or ""}
    return {**answer.headers, **hidden}


def _replay(kept: Kept) -> Answer:
    headers = dict(kept.headers)
    job_id, project_id = headers.pop("job_id", ""), headers.pop("project_id", "")
    return Answer(kept.body, kept.status, {**headers, REPLAYED: "true"}, job_id or None, project_id or None)


def _key(operation: Operation, call: Call, path: dict[str, str]) -> Key | None:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if _KEY.fullmatch(given) is None:
        raise Problem(400, "bad-idempotency-key", "an Idempotency-Key is 1 to 255 printable ASCII characters")
    asked: list[Any] = [
        path,
        request.args.to_dict(),
        call.body.model_dump(mode="json", exclude_unset=True) if call.body else None,
    ]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
    return Key(call.owner_id, operation.route, given, digest)
