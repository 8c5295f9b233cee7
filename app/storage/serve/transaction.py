"""A transaction of one request to Storage, in as few round trips as its statements allow.

What has no answer of its own (how it begins, whose role it takes) waits, and leaves with the next statement that has
one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import TransactionStatus

from app.data.run.pipeline import run_pipeline
from app.data.run.reset import reset_steps
from app.data.run.steps import PipelineStep, make_step
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import sql
    from psycopg.pq.abc import PGresult

    from app.data.run.pipeline import PipelineConnection, PipelineResult
    from app.storage.serve.caller import Caller

SQL = statements(__file__)
# A policy of the owner's, or a lock that one holds, is not waited for without an end.
STATEMENT_MS, LOCK_MS = 30_000, 10_000
_BEGIN = PipelineStep(b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
# What a policy or trigger has left in the session goes in the round trip that ends the transaction: a pooler may lend
# the session to another request right behind that.
_RESETS = reset_steps(thorough=True)
_COMMIT, _ROLLBACK = (PipelineStep(b"COMMIT"), *_RESETS), (PipelineStep(b"ROLLBACK"), *_RESETS)
# Behind what was only read by roles that no policy applies to, nothing of a tenant's has run.
_COMMIT_OF_OURS = (PipelineStep(b"COMMIT"), *reset_steps(thorough=False))


class StorageTransaction:
    """Statements in, plain rows out. It runs as Storage's login until it becomes the caller.

    asked  what policies can see of the request: operation, method, path and headers
    once   whether the first statements that are answered end it, which only read: then there is one round trip, and
           nothing may follow
    """

    def __init__(self, connection: PipelineConnection, asked: Mapping[str, str], *, once: bool = False) -> None:
        self._connection, self._once = connection, once
        settings = {**asked, "statement_ms": STATEMENT_MS, "lock_ms": LOCK_MS}
        self._waiting = [_BEGIN, make_step(SQL.begin, settings, keep=True)]
        self._is_new, self._is_over, self._asks_policies = True, False, False

    # --- whose rights count

    def become(self, caller: Caller) -> None:
        """Run what follows as the caller's role: policies decide."""
        self._waiting.append(make_step(SQL.become, self.rights_of(caller), keep=self._is_new))

    def rights_of(self, caller: Caller) -> dict[str, object]:
        """Return the values by which a statement takes the caller's role itself. Raises StorageError."""
        self._asks_policies = self._asks_policies or not caller.is_service
        return {"role": caller.db_role, "claims": caller.claims_text}

    def become_storage(self) -> None:
        """Run what follows with Storage's own rights, to which policies do not apply."""
        self._waiting.append(make_step(SQL.become_storage, keep=self._is_new))

    # --- statements

    def execute(self, query: sql.Composable, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement; return how many rows it touched."""
        return self._run((query, params))[0].command_tuples or 0

    def row(self, query: sql.Composable, params: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the first row as a dict, or None."""
        return next(iter(self.rows(query, params)), None)

    def rows(self, query: sql.Composable, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return all rows as dicts."""
        return self.together((query, params))[0]

    def value(self, query: sql.Composable, params: Mapping[str, Any] | None = None) -> Any:
        """Return the first column of the first row, or None."""
        row = self.row(query, params)
        return None if row is None else next(iter(row.values()))

    def together(self, *asked: tuple[sql.Composable, Mapping[str, Any] | None]) -> list[list[dict[str, Any]]]:
        """Run statements one after another in one round trip; return the rows of each as dicts."""
        return [self._loaded(result) for result in self._run(*asked)]

    @property
    def number(self) -> str:
        """The transaction's id, by which what died in it is found."""
        return str(self.value(SQL.number))

    # --- its end

    def commit(self) -> None:
        """Commit what was done, and clear the session. Raises psycopg.Error."""
        if self._is_new or self._is_over:
            return
        if self._connection.info.transaction_status == TransactionStatus.INERROR:  # COMMIT would say nothing
            self.roll_back()
            raise psycopg.errors.InFailedSqlTransaction("a statement has failed, and nothing was committed")
        self._end(_COMMIT)

    def roll_back(self) -> None:
        """Ensure that nothing was done, and clear the session."""
        if self._connection.is_touched and not self._connection.closed:
            with suppress(psycopg.Error):  # a session that is gone has nothing to roll back
                self._end(_ROLLBACK)

    def _end(self, ending: Sequence[PipelineStep]) -> None:
        self._is_over = True
        said = run_pipeline(self._connection, ending)
        if said.error is not None and not said.results:
            raise said.error
        # Behind its end it is done, whatever comes of clearing up; a session that is not clear then goes.
        self._connection.is_touched = said.error is not None

    # --- round trips

    def _run(self, *asked: tuple[sql.Composable, Mapping[str, Any] | None]) -> list[PGresult]:
        """Send what waits and these statements; return the results of these. Raises psycopg.Error."""
        if self._is_over:
            raise RuntimeError("the transaction has ended")
        steps = [*self._waiting, *(self._step(query, params or {}) for query, params in asked)]
        ending = (_COMMIT if self._asks_policies else _COMMIT_OF_OURS) if self._once else ()
        done = len(steps) + bool(ending)
        said = self._sent([*steps, *ending])
        if said.outlived and self._is_new and len(said.results) < done:
            # Nothing of it was done. Nothing is prepared the second time, so this ends here.
            run_pipeline(self._connection, _ROLLBACK)
            said = self._sent([*steps, *ending])
        if said.error is not None and len(said.results) < done:
            raise said.error
        if ending:
            self._is_over, self._connection.is_touched = True, said.error is not None
        answered = said.results[len(self._waiting) : len(steps)]
        self._waiting, self._is_new = [], False
        return answered

    def _sent(self, steps: Sequence[PipelineStep]) -> PipelineResult:
        self._connection.is_touched = True
        return run_pipeline(self._connection, steps)

    def _step(self, query: sql.Composable, params: Mapping[str, Any]) -> PipelineStep:
        # Behind the first round trip nothing is tried again: what the server may have forgotten by then is not used.
        values = {name: self._as_text(value) for name, value in params.items()}
        # Settings that tell how a text is read have ended with the transaction.
        return make_step(query, values, keep=self._is_new)._replace(is_binary=self._once)

    def _as_text(self, value: Any) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value
        [written] = Transformer(self._connection).dump_sequence([value], [PyFormat.TEXT])
        return bytes(written or b"").decode()

    def _loaded(self, result: PGresult) -> list[dict[str, Any]]:
        names = [(result.fname(place) or b"").decode() for place in range(result.nfields)]
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, lambda values: dict(zip(names, values, strict=True)))
