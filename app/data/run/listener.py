"""Hears NOTIFY on the configured channel, for databases that keep no stamp of their schema."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from app.data.config import DataConfig

log = logging.getLogger(__name__)
PAUSE_SECONDS_MAX = 5.0


class ReloadTarget(Protocol):
    """Whoever learns that a schema or a configuration has changed."""

    @property
    def config(self) -> DataConfig:
        """Return the configuration that is served now."""

    def forget_schema(self) -> None:
        """Read the catalogue again before the next request."""


class NotifyListener:
    """One connection that listens; whatever it missed while away is made up for by reading the catalogue again."""

    def __init__(self, instance: ReloadTarget) -> None:
        self._instance = instance

    def start(self) -> None:
        """Listen in a thread that ends with the process."""
        if self._instance.config.db_channel_enabled:
            threading.Thread(target=self._run, name="listener", daemon=True).start()

    def _run(self) -> None:
        pause = 0.1
        while True:
            try:
                self._listen()
            except psycopg.Error as error:
                log.warning("listener lost its connection", extra={"error": type(error).__name__})
            time.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def _listen(self) -> None:
        config = self._instance.config
        with psycopg.connect(config.db_uri, autocommit=True, connect_timeout=5) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(config.db_channel)))
            self._instance.forget_schema()
            for notice in connection.notifies():
                if notice.payload in ("", "reload schema", "reload config"):
                    self._instance.forget_schema()
