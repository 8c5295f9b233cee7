"""What the embedded servers remember between starts: `<home>/state.json`, by the variables' names, without secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from config.settings import remembered_state
from infra import files

if TYPE_CHECKING:
    from pathlib import Path


def remember(home: Path, **values: str) -> None:
    """Add these to what is remembered. Raises Refused when the disk is full; the old state stays."""
    state = {**remembered_state(home), **values}
    text = json.dumps(state, indent=2, sort_keys=True) + "\n"
    if not files.holds(home / "state.json", text):
        files.replace(home / "state.json", text)
