"""Two commands of the host never work on one installation at once."""

from __future__ import annotations

import pytest

from infra import files
from infra.files import FileLocked


def test_who_comes_second_is_told_and_not_let_in(tmp_path):
    lock = tmp_path / ".command.lock"
    with files.locked(lock), pytest.raises(FileLocked), files.locked(lock, wait=False):
        pytest.fail("Two commands of the host never work on one installation at once")
    with files.locked(lock, wait=False):
        pass  # nobody holds it any more
