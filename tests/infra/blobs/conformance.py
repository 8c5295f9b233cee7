"""What every place of bytes has to hold to; a module of tests makes the place, by a fixture `place`, and takes these."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from infra.blobs.store import BlobBusy, BlobMissing, blob_name


def new_name() -> str:
    return blob_name(str(uuid.uuid4()), str(uuid.uuid4()))


def put(place, content: bytes, name: str | None = None) -> str:
    name = name or new_name()
    writer = place.begin()
    try:
        writer.write(content)
        writer.commit(name)
    finally:
        writer.discard()
    return name


def content_of(place, name: str) -> bytes:
    with place.open(name) as file:
        return file.read()


class BlobStoreConformance:
    """The tests."""

    @pytest.mark.parametrize("content", [b"", b"x", b"0123456789" * 700_000], ids=["empty", "one", "7 MB"])
    def test_what_was_committed_is_read_back(self, place, content):
        name = put(place, content)
        assert content_of(place, name) == content
        assert place.size(name) == len(content)

    def test_a_blob_is_read_from_any_place_in_it(self, place):
        with place.open(put(place, b"0123456789")) as file:
            file.seek(7)
            assert file.read(2) == b"78"
            file.seek(0)
            assert file.read(1) == b"0"

    def test_nothing_is_there_before_it_is_whole(self, place):
        name, writer = new_name(), place.begin()
        writer.write(b"half")
        with pytest.raises(BlobMissing):
            place.open(name)
        writer.commit(name)
        assert content_of(place, name) == b"half"

    def test_what_was_discarded_leaves_nothing(self, place):
        before = {entry.name for entry in place.partials()}
        writer = place.begin()
        writer.write(b"half")
        writer.discard()
        writer.discard()
        assert {entry.name for entry in place.partials()} == before

    def test_a_committed_blob_is_not_discarded(self, place):
        name, writer = new_name(), place.begin()
        writer.write(b"kept")
        writer.commit(name)
        writer.discard()
        assert content_of(place, name) == b"kept"

    def test_what_has_come_is_gone_on_with(self, place):
        partial, name = str(uuid.uuid4()), new_name()
        writer = place.resume(partial, 0)
        writer.write(b"a" * 6_000_000)
        writer.keep()
        writer = place.resume(partial, 6_000_000)
        assert writer.written == 6_000_000
        writer.write(b"b")
        writer.commit(name)
        assert content_of(place, name) == b"a" * 6_000_000 + b"b"
        assert partial not in {entry.name for entry in place.partials()}

    def test_what_came_beyond_what_was_acknowledged_is_dropped(self, place):
        partial, name = str(uuid.uuid4()), new_name()
        writer = place.resume(partial, 0)
        writer.write(b"acknowledged, and not")
        writer.keep()
        writer = place.resume(partial, len(b"acknowledged"))
        writer.write(b"!")
        writer.commit(name)
        assert content_of(place, name) == b"acknowledged!"

    def test_more_than_has_come_cannot_be_gone_on_with(self, place):
        partial = str(uuid.uuid4())
        writer = place.resume(partial, 0)
        writer.write(b"abc")
        writer.keep()
        for unknown, received in ((partial, 4), (str(uuid.uuid4()), 1)):
            with pytest.raises(BlobMissing):
                place.resume(unknown, received)

    def test_one_at_a_time_goes_on_with_what_has_come(self, place):
        partial = str(uuid.uuid4())
        writer = place.resume(partial, 0)
        with pytest.raises(BlobBusy):
            place.resume(partial, 0)
        writer.keep()
        place.resume(partial, 0).discard()

    def test_a_copy_is_as_young_as_its_name(self, place):
        source, target = put(place, b"old"), new_name()
        began = next(entry.modified for entry in place.blobs() if entry.name == source)
        time.sleep(1.1)  # some places tell times to the second
        place.copy(source, target)
        assert next(entry.modified for entry in place.blobs() if entry.name == target) > began

    def test_a_partial_is_dropped(self, place):
        partial = str(uuid.uuid4())
        place.resume(partial, 0).keep()
        assert partial in {entry.name for entry in place.partials()}
        place.drop_partial(partial)
        place.drop_partial(partial)
        assert partial not in {entry.name for entry in place.partials()}

    def test_a_copy_outlives_what_it_was_made_of(self, place):
        source, target = put(place, b"same"), new_name()
        place.copy(source, target)
        place.copy(source, target)  # whoever was killed does it again
        place.delete(source)
        assert content_of(place, target) == b"same"

    def test_what_is_not_there_is_said_to_be_missing(self, place):
        for act in (place.open, place.size, lambda name: place.copy(name, new_name())):
            with pytest.raises(BlobMissing):
                act(new_name())

    def test_deleting_twice_is_as_good_as_once(self, place):
        name = put(place, b"x")
        place.delete(name)
        place.delete(name)
        with pytest.raises(BlobMissing):
            place.open(name)

    def test_who_reads_reads_to_the_end_though_it_is_deleted_meanwhile(self, place):
        name = put(place, b"0123456789" * 100_000)
        with place.open(name) as file:
            assert file.read(10) == b"0123456789"
            place.delete(name)
            assert len(file.read()) == 999_990

    def test_every_blob_is_listed_with_its_size(self, place):
        names = {put(place, b"abc") for _ in range(20)}
        listed = {entry.name: entry for entry in place.blobs()}
        assert names <= set(listed)
        assert {listed[name].bytes for name in names} == {3}

    @pytest.mark.parametrize(
        "name",
        ["", "..", "../x", "/etc/passwd", "a/b", f"{uuid.uuid4()}.../x", f"{uuid.uuid4()}.a\0", f"{uuid.uuid4()}."],
    )
    def test_no_name_but_ours_gets_anywhere(self, place, name):
        for act in (place.open, place.size, lambda n: place.copy(put(place, b"x"), n)):
            with pytest.raises(BlobMissing):
                act(name)
        place.delete(name)
        place.drop_partial(name)
        with pytest.raises(BlobMissing):
            place.resume(name, 0)

    def test_many_write_at_a_time(self, place):
        names = [new_name() for _ in range(16)]
        threads = [threading.Thread(target=put, args=(place, name.encode() * 1000, name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(content_of(place, name) == name.encode() * 1000 for name in names)

    def test_all_of_a_project_goes_and_nothing_of_another(self, place, other):
        mine, theirs = put(place, b"mine"), put(other, b"theirs")
        place.remove_all()
        place.remove_all()
        assert list(place.blobs()) == []
        with pytest.raises(BlobMissing):
            place.open(mine)
        assert content_of(other, theirs) == b"theirs"
