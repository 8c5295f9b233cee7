"""What the tests of the host commands share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def folder():
    """A short path: Unix sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="ldb-") as name:
        yield Path(name)
