"""OpenPGP messages by passphrase, made and read in this process: for many small files, each of which would cost a gpg.

What is written is what `gpg --decrypt` reads with the same passphrase (RFC 4880): a key that is derived from it,
AES-256 in CFB mode, and an integrity-protected packet. What gpg has written in another form is left to gpg.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.gpg import Gpg

SESSION_KEY, ENCRYPTED, LITERAL, INTEGRITY = 3, 18, 11, 19
AES256, KEY_BYTES, BLOCK_BYTES = 9, 32, 16
SALTED_AND_ITERATED, SALT_BYTES = 3, 8
HASHES = {2: hashlib.sha1, 8: hashlib.sha256, 9: hashlib.sha384, 10: hashlib.sha512}
SHA256 = 8
# 65,536 bytes are hashed, as by our gpg: the keys are random, more would protect nothing.
ROUNDS = 0x60
# A version 4 packet of such a key, as gpg and we begin a message: its length, and what stands behind it.
STARTS = ((0x8C, 13), (0xC0 | SESSION_KEY, 13))
START_BYTES = 15
PART_POWER = 17
PART_BYTES = 1 << PART_POWER
CHECKED_BYTES = 22


class MessageDamaged(Refused):
    """It is not the message that was written, or not with this key."""


class OpenPgpCipher:
    """Encrypts and decrypts as `Gpg` does, without a process for each message.

    program  reads what is written in a form that is not ours
    """

    def __init__(self, program: Gpg) -> None:
        self._program = program

    @contextmanager
    def encrypting(self, key: str, target: IO[bytes]) -> Iterator[IO[bytes]]:
        """Lend the end to write plain bytes to; `target` has received the whole message when the body is over."""
        message = _Writing(key, target.write)
        yield message  # type: ignore[misc] # nothing but write is asked of it
        message.finish()

    @contextmanager
    def decrypting(self, key: str, source: IO[bytes], *, whole: bool = True) -> Iterator[IO[bytes]]:
        """Lend the end to read plain bytes from. They are known to be right only when the body is over.

        source  a file, read from its beginning
        whole   whether everything is read; otherwise nothing is checked

        Raises MessageDamaged for a wrong key and for a file that was changed, ProgramFailed where gpg finds that.
        """
        start = source.read(START_BYTES)
        if len(start) < START_BYTES:  # gpg takes the beginning of one for an empty message
            raise MessageDamaged("it breaks off")
        derived = _key_of(start, key)
        if derived is None:
            os.lseek(source.fileno(), 0, os.SEEK_SET)  # gpg reads the file itself, whatever stands in our buffer
            with self._program.decrypting(key, source, whole=whole) as plain:
                yield plain
            return
        message = _Reading(derived, source)
        yield message  # type: ignore[misc] # nothing but read is asked of it
        if whole:
            message.check_end()


def _key_of(start: bytes, passphrase: str) -> bytes | None:
    """Return the key of a message that begins so, or None where it is none of a form that we read."""
    if tuple(start[:2]) not in STARTS:
        return None
    version, cipher, derivation, digest = start[2:6]
    if (version, cipher, derivation) != (4, AES256, SALTED_AND_ITERATED) or digest not in HASHES:
        return None
    return _derived(passphrase, HASHES[digest], start[6:14], start[14])


def _derived(passphrase: str, digest: Callable[..., Any], salt: bytes, rounds: int) -> bytes:
    """Return the key of a passphrase: salted and iterated (RFC 4880, 3.7.1.3)."""
    seed = salt + passphrase.encode()
    count = max((16 + (rounds & 15)) << ((rounds >> 4) + 6), len(seed))
    hashed = (seed * (count // len(seed) + 1))[:count]
    found = b""
    for number in range(KEY_BYTES):
        if len(found) >= KEY_BYTES:
            break
        found += digest(bytes(number) + hashed, usedforsecurity=False).digest()
    return found[:KEY_BYTES]


def _cipher(key: bytes) -> Cipher[CFB]:
    return Cipher(algorithms.AES(key), CFB(bytes(BLOCK_BYTES)))


class _Writing:
    """A message while it is written: a literal packet in an encrypted one, with its digest behind it."""

    def __init__(self, passphrase: str, write: Callable[[bytes], Any]) -> None:
        salt = os.urandom(SALT_BYTES)
        write(bytes([*STARTS[0], 4, AES256, SALTED_AND_ITERATED, SHA256, *salt, ROUNDS]))
        self._cipher = _cipher(_derived(passphrase, HASHES[SHA256], salt, ROUNDS)).encryptor()
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._outer = _PacketWriter(ENCRYPTED, write)
        self._outer.write(b"\x01")
        random = os.urandom(BLOCK_BYTES)
        self._encrypt(random + random[-2:])
        self._literal = _PacketWriter(LITERAL, self._encrypt)
        self._literal.write(b"b\0" + bytes(4))  # bytes, without a name or a date

    def write(self, part: bytes) -> int:
        self._literal.write(part)
        return len(part)

    def finish(self) -> None:
        self._literal.finish()
        self._encrypt(bytes([0xC0 | INTEGRITY, self._digest.digest_size]))
        self._outer.write(self._cipher.update(self._digest.digest()) + self._cipher.finalize())
        self._outer.finish()

    def _encrypt(self, part: bytes) -> None:
        self._digest.update(part)
        self._outer.write(self._cipher.update(part))


class _PacketWriter:
    """A packet whose length is not known before: in parts, the last of which says that it is the last."""

    def __init__(self, tag: int, write: Callable[[bytes], Any]) -> None:
        self._write, self._head, self._held = write, bytes([0xC0 | tag]), bytearray()

    def write(self, part: bytes) -> None:
        self._held += part
        while len(self._held) > PART_BYTES:
            self._write(self._head + bytes([224 + PART_POWER]) + self._held[:PART_BYTES])
            del self._held[:PART_BYTES]
            self._head = b""

    def finish(self) -> None:
        self._write(self._head + b"\xff" + len(self._held).to_bytes(4, "big") + self._held)


class _Reading:
    """A message while it is read."""

    def __init__(self, key: bytes, source: IO[bytes]) -> None:
        self._source, self._outer = source, _PacketReader(source.read, ENCRYPTED)
        self._cipher = _cipher(key).decryptor()
        self._digest = hashlib.sha1(usedforsecurity=False)
        if self._outer.read_exactly(1) != b"\x01":
            raise MessageDamaged("the message is of no kind that is read here")
        random = self._cipher.update(self._outer.read_exactly(BLOCK_BYTES + 2))
        self._digest.update(random)
        if random[-2:] != random[-4:-2]:
            raise MessageDamaged("it was changed, or encrypted with another key")
        self._literal = _PacketReader(self._decrypted, LITERAL)
        self._literal.read_exactly(1)
        self._literal.read_exactly(self._literal.read_exactly(1)[0] + 4)

    def read(self, size: int = -1) -> bytes:
        if size >= 0:
            return self._literal.read(size)
        return b"".join(iter(lambda: self._literal.read(PART_BYTES), b""))

    def check_end(self) -> None:
        """Read what is left. Raises MessageDamaged unless all of it is what was written."""
        while self._literal.read(PART_BYTES):
            pass
        ending = self._cipher.update(self._outer.read_exactly(CHECKED_BYTES))
        self._digest.update(ending[:2])
        expected = bytes([0xC0 | INTEGRITY, self._digest.digest_size]) + self._digest.digest()
        if not hmac.compare_digest(ending, expected) or self._outer.read(1) or self._source.read(1):
            raise MessageDamaged("it was changed")

    def _decrypted(self, size: int) -> bytes:
        part = self._cipher.update(self._outer.read(size))
        self._digest.update(part)
        return part


class _PacketReader:
    """The body of a packet, whichever way its length is told; MessageDamaged where it is another, or breaks off."""

    def __init__(self, read: Callable[[int], bytes], tag: int) -> None:
        self._read = read
        if self._byte() != 0xC0 | tag:
            raise MessageDamaged("it was changed: there is another packet than was written")
        self._left, self._is_last = self._length()

    def read(self, size: int) -> bytes:
        """Read at most so many bytes; nothing at the end."""
        while not self._left and not self._is_last:
            self._left, self._is_last = self._length()
        part = self._read(min(size, self._left))
        if not part and size and self._left:
            raise MessageDamaged("it breaks off")
        self._left -= len(part)
        return part

    def read_exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        found = b""
        while len(found) < size:
            part = self.read(size - len(found))
            if not part:
                raise MessageDamaged("it breaks off")
            found += part
        return found

    def _length(self) -> tuple[int, bool]:
        """Return how long the next part is, and whether it is the last (RFC 4880, 4.2.2)."""
        first = self._byte()
        if first < 192:
            return first, True
        if first < 224:
            return ((first - 192) << 8) + self._byte() + 192, True
        if first < 255:
            return 1 << (first & 31), False
        return int.from_bytes(bytes(self._byte() for _ in range(4)), "big"), True

    def _byte(self) -> int:
        found = self._read(1)
        if not found:
            raise MessageDamaged("it breaks off")
        return found[0]
