"""Hears NOTIFY on the configured channel: that the schema has changed, or what is configured in the database."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from app.data.config import DataConfig

log = logging.getLogger("launchdb.data")
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 5.0
# So often one that listens looks whether it still has to, and at that channel.
LOOK_SECONDS = 2.0


class ReloadTarget(Protocol):
    """Whoever learns that a schema or a configuration has changed."""

    @property
    def config(self) -> DataConfig:
        """Return the configuration that is served now."""

    @property
    def changed(self) -> threading.Event:
        """Return what is set when another configuration is served."""

    def forget_schema(self) -> None:
        """Read the catalogue again before the next request."""

    def reconfigure(self) -> None:
        """Read the configuration again."""


class NotifyListener:
    """One connection that listens; whatever it missed while away is made up for by reading the catalogue again."""

    def __init__(self, target: ReloadTarget) -> None:
        self._target = target
        self._pause = PAUSE_SECONDS

    def start(self) -> None:
        """Listen in a thread that ends with the process."""
        threading.Thread(target=self._run, name="listener", daemon=True).start()

    def _run(self) -> None:
        while True:
            channel = self._target.config.db_channel
            try:
                if self._target.config.db_channel_enabled:
                    self._listen()
                else:
                    self._target.changed.wait()
                    self._target.changed.clear()
            except psycopg.Error as error:
                said = " ".join(str(error).split())
                log.warning('Failed listening for database notifications on the "%s" channel. %s', channel, said)
                time.sleep(self._pause)
                self._pause = min(self._pause * 2, PAUSE_SECONDS_MAX)

    def _listen(self) -> None:
        told = _where(self._target.config)
        uri, channel, _ = told
        with psycopg.connect(uri, autocommit=True, connect_timeout=5) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            at = f"{connection.info.host}:{connection.info.port}"
            log.info(
                'Successfully connected to PostgreSQL %s on "%s" and listening for database notifications'
                ' on the "%s" channel',
                connection.info.parameter_status("server_version"), at, channel,
            )  # fmt: skip
            self._pause = PAUSE_SECONDS
            self._target.forget_schema()
            while _where(self._target.config) == told:
                for notice in connection.notifies(timeout=LOOK_SECONDS):
                    self._heed(notice.payload, channel)

    def _heed(self, payload: str, channel: str) -> None:
        if payload in ("", "reload schema"):
            log.info('Received a schema cache reload message on the "%s" channel', channel)
            self._target.forget_schema()
        elif payload == "reload config":
            log.info('Received a config reload message on the "%s" channel', channel)
            self._target.reconfigure()


def _where(config: DataConfig) -> tuple[str, str, bool]:
    return config.db_uri, config.db_channel, config.db_channel_enabled
