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
from app.http.routing import ViewResponse
from catalog import audit, idempotency
from catalog.idempotency import IdempotencyKey, StoredAnswer
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.http.routing import Call, Operation
    from infra.postgres.database import Transaction

REPLAYED = "Idempotency-Replayed"
RACES = 3
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class KeyLocks:
    """Requests with one key take turns before they take a connection: a thousand repeats hold one, not a thousand."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[IdempotencyKey, tuple[threading.Lock, int]] = {}

    @contextmanager
    def locked(self, key: IdempotencyKey) -> Iterator[None]:
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


_turns = KeyLocks()


def run_once(operation: Operation, call: Call, path: dict[str, str]) -> ViewResponse:
    """Carry out the change, or return the first answer to this key. Raises what the view raises, and Problem."""
    key = _key(operation, call, path)
    for _ in range(RACES):
        try:
            return _once(operation, call, path, key)
        except Unavailable as error:
            if not _lost_race(error):
                raise
    return _once(operation, call, path, key)


def _once(operation: Operation, call: Call, path: dict[str, str], key: IdempotencyKey | None) -> ViewResponse:
    if key is None:
        with call.world.infra.database.transaction() as tx:
            return _change(operation, call, path, tx)
    with _turns.locked(key), call.world.infra.database.transaction() as tx:
        kept = idempotency.reserve(tx, key)
        if kept is not None:
            return _replay(kept)
        if call.caller is not None:
            auth.count_request(call.world, operation, call.caller, call.address)
        answer = _change(operation, call, path, tx)
        idempotency.store_answer(tx, key, StoredAnswer(answer.status, _kept_headers(answer), answer.body))
        return answer


def _lost_race(error: Unavailable) -> bool:
    """Return whether the transaction was rolled back for another's sake: then it can be done again at once."""
    return getattr(error.__cause__, "sqlstate", None) in ("40001", "40P01")


def _change(operation: Operation, call: Call, path: dict[str, str], tx: Transaction) -> ViewResponse:
    answer: ViewResponse = operation.view(call, tx, **path)
    entry = audit.AuditEntry(
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


def _kept_headers(answer: ViewResponse) -> dict[str, str]:
    # The job and the project are remembered, so that a replay can wait for them too.
    hidden = {"job_id": answer.job_id or "", "project_id": answer.project_id or ""}
    return {**answer.headers, **hidden}


def _replay(kept: StoredAnswer) -> ViewResponse:
    headers = dict(kept.headers)
    job_id, project_id = headers.pop("job_id", ""), headers.pop("project_id", "")
    return ViewResponse(kept.body, kept.status, {**headers, REPLAYED: "true"}, job_id or None, project_id or None)


def _key(operation: Operation, call: Call, path: dict[str, str]) -> IdempotencyKey | None:
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
    return IdempotencyKey(call.owner_id, operation.route, given, digest)
