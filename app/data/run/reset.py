"""What ends with a request though it is not the transaction's: whatever a function has left in the session.

A pooler lends the session to somebody else as soon as nothing is on its way, so these steps leave with the last of
the request's own and cost no round trip. Statements that the driver has prepared stay, which DISCARD ALL would take.
"""

from __future__ import annotations

from app.data.run.pipeline import PipelineStep

# None of them is kept as prepared: a request whose function deallocates everything has been committed by now, and one
# that is not found would have it carried out again.
_LEFT = (
    PipelineStep(b"SELECT pg_catalog.set_config('role', 'none', false), pg_catalog.pg_advisory_unlock_all()"),
    PipelineStep(b"RESET ALL"),
    PipelineStep(b"UNLISTEN *"),
    PipelineStep(b"CLOSE ALL"),
    PipelineStep(b"DISCARD SEQUENCES"),
    PipelineStep(b"DISCARD TEMP"),
)
# Only what was prepared by SQL: the driver's own have come another way. It takes as long as all the others twice.
_PREPARED = PipelineStep(
    b"DO $$DECLARE name pg_catalog.text; BEGIN "
    b"FOR name IN SELECT p.name FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql LOOP "
    b"EXECUTE pg_catalog.format('DEALLOCATE %I', name); END LOOP; END$$"
)


def reset_steps(*, thorough: bool) -> tuple[PipelineStep, ...]:
    """Return what makes a session as it was before a request. Outside a transaction; as whatever role.

    thorough  also removes what SQL has prepared, which only a function can do
    """
    return (*_LEFT, _PREPARED) if thorough else _LEFT
