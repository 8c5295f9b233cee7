"""Keeps Caddy serving what the settings want: after a start with an old file, or a change by hand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from infra.edge.proxy import CaddyProxy

log = logging.getLogger(__name__)


class CaddyReconciler:
    """Several may run: what Caddy serves already is not loaded again."""

    def __init__(self, proxy: CaddyProxy) -> None:
        self._proxy = proxy
        self._said = ""

    def run_once(self) -> int:
        """Look once; return 1 when Caddy was given its configuration anew. What is wrong is said once."""
        try:
            changed = self._proxy.apply()
        except (Refused, Unavailable) as error:
            if str(error) != self._said:
                log.warning("caddy is not as it should be", extra={"error": str(error)})
            self._said = str(error)
            return 0
        self._said = ""
        if changed:
            log.warning("caddy was given its configuration anew")
        return int(changed)
