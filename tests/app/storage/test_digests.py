"""What is counted of bytes while they come: the same however many they are, and in whatever pieces."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import closing

import pytest

from app.storage.objects.digests import LARGE_BYTES, ByteDigests


def counted(content: bytes, piece: int, **how):
    with closing(ByteDigests(**how)) as digests:
        for begin in range(0, len(content), piece):
            digests.update(content[begin : begin + piece])
        return digests.found()


@pytest.mark.parametrize("size", [0, 1000, LARGE_BYTES, LARGE_BYTES + 1, 3 * LARGE_BYTES])
@pytest.mark.parametrize("piece", [262_144, 100_003, 6 * LARGE_BYTES])
def test_bytes_are_counted_in_their_order_whatever_goes_on_beside(size, piece):
    content = os.urandom(size)
    found = counted(content, piece, compared=True)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert (found.size, found.sha256, found.md5) == (size, hashlib.sha256(content).hexdigest(), md5)
    assert found.etag == md5


def test_a_large_object_that_nobody_compares_has_a_tag_of_its_own_in_the_form_of_what_came_in_parts():
    content = os.urandom(2 * LARGE_BYTES + 1)
    found, again = counted(content, 300_000), counted(content, LARGE_BYTES)
    assert found == again, "the same content has the same tag"
    digest, _, parts = found.etag.partition("-")
    assert (len(digest), parts) == (32, "3")
    assert counted(content[:-1] + b"?" * (content[-1:] != b"?") + b"!" * (content[-1:] == b"?"), 300_000) != found
    small = counted(content[:LARGE_BYTES], 300_000)
    assert small.etag == hashlib.md5(content[:LARGE_BYTES], usedforsecurity=False).hexdigest()


def test_no_thread_is_left_of_an_upload_that_breaks_off():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), closing(ByteDigests()) as digests:
        for _ in range(30):
            digests.update(bytes(1024 * 1024))
        1 / 0  # noqa: B018
    for thread in threading.enumerate():
        if thread.name.startswith("digest"):
            thread.join(10)
    assert threading.active_count() == before
