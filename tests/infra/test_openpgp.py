"""Messages that are made in this process: gpg reads them, and what gpg made is read; a changed one never passes."""

from __future__ import annotations

import os
import subprocess

import pytest

from infra.gpg import Gpg
from infra.openpgp import PART_BYTES, MessageDamaged, OpenPgpCipher
from infra.pipeline import ProgramFailed

pytestmark = pytest.mark.gpg
KEY = "a passphrase, ünicode"
SIZES = (0, 1, 191, 192, 5000, PART_BYTES - 6, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 77)


@pytest.fixture
def gpg(tmp_path):
    return Gpg(tmp_path / "gpg")


@pytest.fixture
def ours(gpg):
    return OpenPgpCipher(gpg)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "message.gpg"


def written(cipher, path, content: bytes, key: str = KEY) -> bytes:
    with path.open("wb") as file, cipher.encrypting(key, file) as sink:
        for begin in range(0, len(content), 70_001):
            sink.write(content[begin : begin + 70_001])
    return path.read_bytes()


def read(cipher, path, key: str = KEY) -> bytes:
    with path.open("rb") as file, cipher.decrypting(key, file) as plain:
        return plain.read()


@pytest.mark.parametrize("size", SIZES)
def test_gpg_reads_what_we_write_and_we_read_what_gpg_writes(ours, gpg, path, size):
    content = os.urandom(size)
    written(ours, path, content)
    assert (read(gpg, path), read(ours, path)) == (content, content)
    written(gpg, path, content)
    assert read(ours, path) == content


def test_gpg_takes_it_for_the_same_kind_of_message_as_its_own(ours, gpg, path, tmp_path):
    def described() -> list[str]:
        argv = ["gpg", "--homedir", tmp_path / "home", "--batch", "--list-packets", "--pinentry-mode", "loopback"]
        (tmp_path / "home").mkdir(mode=0o700, exist_ok=True)
        said = subprocess.run([*argv, "--passphrase", "plain", path], check=True, capture_output=True, text=True).stdout
        return [line.split(",")[0].strip() for line in said.splitlines() if line.startswith(":") or "mdc" in line]

    found = []
    for cipher in (ours, gpg):
        written(cipher, path, b"some content", "plain")
        found.append(described())
    assert found[0] == found[1]
    assert "mdc_method: 2" in found[0], "its integrity is protected"


def test_the_same_content_is_another_message_each_time(ours, path):
    first, second = written(ours, path, b"secret" * 100), written(ours, path, b"secret" * 100)
    assert first != second
    assert b"secret" not in first


def test_no_byte_can_be_changed_left_out_or_added_unseen(ours, path):
    whole = written(ours, path, b"some content that matters" * 4)
    changed = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for each in (*changed, *(whole[:end] for end in range(len(whole))), whole + b"\0", whole + whole):
        path.write_bytes(each)
        with pytest.raises((MessageDamaged, ProgramFailed)):
            read(ours, path)


def test_a_changed_byte_of_a_message_in_parts_is_seen_also_by_who_reads_no_further_than_needed(ours, path):
    whole = bytearray(written(ours, path, bytes(3 * PART_BYTES)))
    whole[2 * PART_BYTES] ^= 1
    path.write_bytes(whole)
    with pytest.raises(MessageDamaged), path.open("rb") as file, ours.decrypting(KEY, file) as plain:
        plain.read(10)


def test_another_key_opens_nothing(ours, path):
    written(ours, path, b"some content")
    with pytest.raises(MessageDamaged):
        read(ours, path, "another passphrase")


def test_a_form_that_only_gpg_knows_is_read_by_gpg(ours, gpg, path, tmp_path):
    (tmp_path / "home").mkdir(mode=0o700)
    argv = ["gpg", "--homedir", tmp_path / "home", "--batch", "--pinentry-mode", "loopback", "--passphrase", KEY]
    more = ["--symmetric", "--cipher-algo", "AES128", "--output", path]
    subprocess.run([*argv, *more], input=b"some content", check=True)
    assert read(ours, path) == b"some content"
