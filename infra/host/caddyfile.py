"""The Caddyfile that the host writes before Caddy runs. PgBouncer's is written inside, by whoever reaches Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import files
from infra.edge.proxy import CaddyProxy
from infra.host.home import LAUNCHDB

if TYPE_CHECKING:
    from config.settings import Settings


def write_caddyfile(settings: Settings) -> bool:
    """Write the configuration that the settings make for Caddy; return whether it is another now. Raises Refused."""
    proxy = CaddyProxy(settings)
    text = proxy.text()
    if files.holds(proxy.file, text):
        return False
    files.replace(proxy.file, text, owner=(LAUNCHDB, LAUNCHDB))
    return True
