"""However long a row is, reading it out of a dump takes as much memory and work as reading short ones."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from infra.backup.dump_text import DumpReader
from infra.postgres import split
from tests.fixtures.roundtrip import differences, dumped, restored

MIB = 1 << 20
HEAD = b"COPY public.files (content) FROM stdin;\n"


def peak_of(act) -> int:
    """How far this process grew at most while `act` ran, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    act()
    return (kilobytes("VmHWM") - before) * 1024


def kilobytes(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


class Endless(io.RawIOBase):
    """A dump with one table of rows of this length, made as it is read."""

    def __init__(self, rows: int, length: int) -> None:
        self._parts = [HEAD, *([b"\\\\x", length, b"\n"] * rows), b"\\.\n\nSELECT 1;\n"]

    def read(self, size=-1):
        part = self._parts.pop(0) if self._parts else b""
        if isinstance(part, bytes):
            return part
        if part > size:
            self._parts.insert(0, part - size)
        return b"a" * min(size, part)


@pytest.mark.parametrize("length", [1000, 128 * MIB])
def test_rows_are_looked_at_once_and_held_by_the_piece(length, monkeypatch):
    looked, whole = [0], 0
    fill = DumpReader._fill
    monkeypatch.setattr(DumpReader, "_fill", lambda self, *a: (fill(self, *a), count(self, looked))[0])

    def read():
        nonlocal whole
        text = DumpReader(Endless(max(1, 1_000_000 // length), length), lambda _read: None)
        assert text.next_statement() == HEAD.rstrip(b";\n")
        whole = sum(len(piece) for piece in text.copy_rows())
        assert text.next_statement() == b"SELECT 1"

    grown = peak_of(read)
    assert whole >= length
    assert grown < 16 * MIB
    assert looked[0] < 1.1 * whole + 4 * MIB, "the same bytes are searched again and again"


def count(text: DumpReader, looked: list[int]) -> None:
    looked[0] += len(text._buffer)


@pytest.mark.gpg
@pytest.mark.parametrize("form", ["sql.gz", pytest.param("dump.zst", marks=pytest.mark.full)])
def test_a_row_of_32_megabytes_is_restored_in_the_memory_of_a_short_one(form, tenant, tmp_path):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE files (id int, content bytea)")
        owner.execute("INSERT INTO files SELECT 1, convert_to(repeat('x', 32 * 1024 * 1024), 'UTF8')")
    source = dumped(tenant, tmp_path, form)
    with restored(tenant, source):
        pass  # what is loaded once is loaded now

    def again():
        with restored(tenant, source) as (name, _):
            assert differences(tenant, source, name) == []

    assert peak_of(again) < 32 * MIB


def test_a_long_statement_is_lexed_in_linear_work(monkeypatch):
    body = b"SELECT " + b"1, " * 50_000 + b"'" + b"y" * 4 * MIB + b"'"
    windows = []
    real = split._tokens
    monkeypatch.setattr(split, "_tokens", lambda text: (windows.append(len(text)), real(text))[1])
    assert DumpReader(io.BytesIO(body + b";\n"), lambda _read: None).next_statement() == body
    assert sum(windows) < 8 * len(body)
