"""What a set of files says of itself is believed only as it was written: each member of a manifest, each byte of a file."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from infra import files
from infra.backup import sets
from infra.backup.sets import Manifest, SetFile
from infra.errors import Refused

KEY, STEM = "a backup key of the tests, long enough", "proj_0123456789abcdef_20261130_021356"
FILE = SetFile(f"{STEM}.sql.gz.gpg", "database", 5, "", 9)
MANIFEST = Manifest(
    id="bkp_1",
    scope="proj_0123456789abcdef",
    stem=STEM,
    created_at="2026-11-30T02:13:56+00:00",
    format="sql.gz",
    postgres="17.5",
    schema="004",
    key_id="one",
    database_bytes=1000,
    files=(FILE,),
    details="",
)
KEYS = {"one": KEY, "another": "another key of the tests, as long as that"}
MEMBERS = [name for name in asdict(MANIFEST) if name != "files"] + [f"files.{name}" for name in asdict(FILE)]


@pytest.fixture
def folder(tmp_path):
    """A folder with one whole set."""
    path = tmp_path / FILE.name
    path.write_bytes(b"bytes")
    file = replace(FILE, sha256=files.sha256_of(path))
    sets.write_manifest(tmp_path, replace(MANIFEST, files=(file,), details=sets.seal_details(KEY, {"rows": 1})), KEY)
    return tmp_path


def other(value):
    return value + 1 if isinstance(value, int) else "another" if value == "one" else f"{value}x"


def test_a_set_is_read_as_it_was_written(folder):
    manifest = sets.read_manifest(folder, STEM, KEYS)
    sets.check_files(folder, manifest)
    assert (manifest.id, sets.read_details(manifest, KEY)) == ("bkp_1", {"rows": 1})


@pytest.mark.parametrize("member", MEMBERS)
def test_a_change_of_any_member_of_a_manifest_is_noticed(folder, member):
    path = sets.manifest_path(folder, STEM)
    told = json.loads(path.read_text())
    name = member.removeprefix("files.")
    held = told["files"][0] if member.startswith("files.") else told
    held[name] = other(held[name])
    path.write_text(json.dumps(told))
    with pytest.raises(Refused):
        sets.read_manifest(folder, STEM, KEYS)
        pytest.fail(f"Whatever is changed in a manifest is noticed: {member}")


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_change_of_any_byte_of_a_backup_is_noticed_before_anything_reads_it(folder, place):
    data = bytearray(b"bytes")
    data[place] ^= 1
    (folder / FILE.name).write_bytes(bytes(data))
    with pytest.raises(Refused):
        sets.check_files(folder, sets.read_manifest(folder, STEM, KEYS))
        pytest.fail("Whatever is changed in a backup's file is noticed before anything reads it")
