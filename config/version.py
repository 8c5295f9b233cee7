"""The version of this program; `pyproject.toml` says the same (tests/host/test_versions.py)."""

from __future__ import annotations

VERSION = "0.1.0"
