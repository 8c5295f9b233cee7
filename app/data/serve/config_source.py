"""Where the configuration of a data API in a process of its own comes from: a file, variables, and files they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from app.data import config
from app.data.run.database_options import DatabaseOptionsError, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.data.config import DataConfig

_LABEL = re.compile(r"# launchdb project=(proj_[0-9a-f]{16}) spec=([0-9a-f]{64})")
# Their value may be `@` and the path of a file that holds it, so that it stands in no list of processes or variables.
# Where libpq is told by these, a URI need not say anything.
LIBPQ = ("PGHOST", "PGSERVICE", "PGDATABASE")
IN_FILES = ("jwt-secret", "db-uri")


class ConfigSource:
    """Reads the configuration, and whose it says it is. A variable comes before the file."""

    def __init__(self, environ: Mapping[str, str], file: str | None) -> None:
        self._environ, self._file = environ, file
        self._streams: dict[str, str] = {}
        self.incomplete = ""

    def read(self, *, needs_database: bool = True) -> tuple[DataConfig, str, str]:
        """Return the configuration, and the project and the spec of its first line. Raises ConfigError.

        What stands in the database comes before all else. Where that is away, `incomplete` says why afterwards, and the
        rest is returned. needs_database: it has to be named.
        """
        text = self._text(self._file, "the file") if self._file else ""
        values = config.values_of_text(text) | config.values_of_environment(self._environ)
        if "db-uri" not in values and any(name in self._environ for name in LIBPQ):
            values["db-uri"] = "postgresql://"
        for name in IN_FILES:
            if values.get(name, "").startswith("@"):
                values[name] = self._text(values[name][1:], name).removesuffix("\n").removesuffix("\r")
        read, self.incomplete = config.from_values(values), ""
        if not read.db_uri and needs_database:
            raise config.ConfigError("db-uri (PGRST_DB_URI) is not set")
        if read.db_uri and read.db_config and not read.launchdb_gateway:
            read = self._with_database(values, read)
        label = _LABEL.fullmatch(text.partition("\n")[0])
        return read, *(label.groups() if label is not None else ("", ""))  # type: ignore[return-value]

    def _with_database(self, values: dict[str, str], read: DataConfig) -> DataConfig:
        try:
            return config.from_values(values | read_options(read))
        except DatabaseOptionsError as error:
            if error.is_final:
                raise config.ConfigError(str(error)) from None
            self.incomplete = str(error)
            return read

    def _text(self, path: str, what: str) -> str:
        """Return what a file holds; what is no file, such as standard input, is read once."""
        if path in self._streams:
            return self._streams[path]
        try:
            found = Path(path).read_bytes().decode("utf-8", "surrogateescape" if what == "jwt-secret" else "strict")
            if not Path(path).is_file():
                self._streams[path] = found
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise config.ConfigError(f"{what} cannot be read ({type(error).__name__})") from error
        return found
