"""Finds psql and becomes it: the password stands in the environment of that one process, never in its arguments."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from config import surroundings
from infra.embedded import programs
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings

_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER"}


def find(settings: Settings) -> Path:
    """Return psql of the settings' own server programs, of the wheel, or of PATH. Raises Refused when there is none."""
    on_path = shutil.which("psql")
    try:
        return programs.postgres_bin(settings, None) / "psql"
    except Refused as error:
        if on_path is not None:
            return Path(on_path)
        raise Refused(
            "there is no psql here: install one (Debian: apt-get install postgresql-client), or name a folder that "
            f"holds it by LAUNCHDB_POSTGRES_BIN; `launchdb projects sql` needs none ({error})"
        ) from error


def exec_psql(program: Path, where: Mapping[str, str], password: str) -> None:
    """Replace this process by psql, connected to `where` (host, port, dbname, user). Does not return."""
    # The terminal, the pager and .psqlrc are the caller's; where to connect is ours to say.
    inherited = {name: value for name, value in surroundings.caller_environment().items() if not name.startswith("PG")}
    given = {_VARIABLES[name]: value for name, value in where.items()}
    os.execve(program, ["psql"], {**inherited, **given, "PGPASSWORD": password})  # noqa: S606 - no shell is wanted
