"""What a helper cannot do any more, whatever a stranger's bytes make of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.confinement import landlock_version
from infra.pipeline import run, spawn

TRIED = """
import sys
from infra.confinement import confine_process
confine_process({memory}, ({readable!r},))
print({what})
"""


def tried(what, *, memory=1 << 30, readable="/nowhere"):
    code = TRIED.format(what=what, memory=memory, readable=str(readable))
    argv = [sys.executable, "-c", code]
    return run(argv, timeout_seconds=60, env={"PYTHONPATH": str(Path.cwd())}, merged=True)


def test_a_confined_process_opens_no_file_but_those_that_it_was_left(tmp_path):
    if not landlock_version():
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "font").write_text("letters")
    (tmp_path / "secret").write_text("secret")
    reads = "next(open(path).read() for path in [{!r}])"
    assert "letters" in tried(reads.format(str(tmp_path / "left" / "font")), readable=tmp_path / "left")
    for what in (
        reads.format(str(tmp_path / "secret")),
        reads.format("/etc/passwd"),
        reads.format(f"{tmp_path}/left/../secret"),
        f"open({str(tmp_path / 'left' / 'new')!r}, 'w')",
        "__import__('os').listdir('/')",
        "1 / (__import__('os').system('true') == 0)",
    ):
        with pytest.raises(Exception, match=r"PermissionError|ZeroDivisionError|exit status"):
            tried(what, readable=tmp_path / "left")


def test_a_confined_process_writes_nothing_and_stays_small(tmp_path):
    with (tmp_path / "out").open("wb") as out:
        code = TRIED.format(what="'x' * 10", memory=1 << 30, readable="/nowhere")
        assert spawn([sys.executable, "-c", code], env={"PYTHONPATH": str(Path.cwd())}, stdout=out).wait(60) != 0
    assert (tmp_path / "out").read_bytes() == b""
    with pytest.raises(Exception, match="MemoryError"):
        tried("len(bytearray(1 << 29))", memory=1 << 28)
