"""What ends with a request though it is not the transaction's: whatever a function has left in the session.

A pooler lends the session to somebody else as soon as nothing is on its way, so these steps leave with the last of
the request's own and cost no round trip. Statements that the driver has prepared stay, which DISCARD ALL would take.
"""

from __future__ import annotations

from app.data.run.steps import PipelineStep

# One that a function has deallocated meanwhile is found missing behind the end of the request, which is not carried out
# again for that.
_READ = (
    PipelineStep(
        b"SELECT pg_catalog.set_config('role', 'none', false), pg_catalog.pg_advisory_unlock_all()",
        keep=True,
    ),
    PipelineStep(b"RESET ALL"),
    PipelineStep(b"UNLISTEN *"),
    PipelineStep(b"CLOSE ALL"),
)
# What no transaction makes that may only read. Of what is prepared only that by SQL goes: the driver's own have come
# another way. Looking for it takes as long as all else twice, so it is left to those who write or call functions.
_WRITTEN = (
    *_READ,
    PipelineStep(b"DISCARD SEQUENCES"),
    PipelineStep(b"DISCARD TEMP"),
    PipelineStep(
        b"DO $$DECLARE name pg_catalog.text; BEGIN "
        b"FOR name IN SELECT p.name FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql LOOP "
        b"EXECUTE pg_catalog.format('DEALLOCATE %I', name); END LOOP; END$$"
    ),
)


def reset_steps(*, thorough: bool) -> tuple[PipelineStep, ...]:
    """Return what makes a session as it was before a request. Outside a transaction; as whatever role.

    thorough  the request may have written, or has called a function
    """
    return _WRITTEN if thorough else _READ
