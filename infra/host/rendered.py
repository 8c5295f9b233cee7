"""What the host writes for Caddy and PgBouncer before anything of ours runs; afterwards jobs keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings


def write(home: Path, settings: Settings) -> None:
    """Let Caddy and PgBouncer find a configuration to start with; PgBouncer's is kept once it is there.

    Raises Refused.
    """
