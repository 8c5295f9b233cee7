"""Whose notifications fill the server's queue: its newest file, read as Postgres lays it out."""

from __future__ import annotations

import struct

PAGE_BYTES = 8192
# Length of the entry, oid of the database, transaction, process; then channel and payload.
_HEAD = struct.Struct("=iIIi")


def databases_in(segment: bytes) -> frozenset[int]:
    """Return the oids of the databases whose notifications stand in a file of `pg_notify`.

    A page holds whole entries; what is left of it is one entry of no database.
    """
    found: set[int] = set()
    for start in range(0, len(segment) - len(segment) % PAGE_BYTES, PAGE_BYTES):
        place, end = start, start + PAGE_BYTES
        while place + _HEAD.size <= end:
            length, database, _transaction, _process = _HEAD.unpack_from(segment, place)
            if not _HEAD.size <= length <= end - place:
                break
            found.add(database)
            place += (length + 3) & ~3
    return frozenset(found - {0})
