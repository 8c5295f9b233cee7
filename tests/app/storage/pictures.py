"""Pictures for tests, good and bad, made on the spot."""

from __future__ import annotations

import struct
import zlib

import pyvips

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "gif": ".gif", "webp": ".webp", "avif": ".avif", "tiff": ".tif"}


def picture(kind="jpeg", width=60, height=40, *, left=(200, 0, 0), right=(0, 0, 200), **options) -> bytes:
    """Return a picture whose left half has one colour and whose right half has another."""
    halves = [
        pyvips.Image.black(width // 2, height, bands=3).linear([1, 1, 1], list(colour), uchar=True)
        for colour in (left, right)
    ]
    whole = halves[0].join(halves[1], "horizontal").copy(interpretation="srgb")
    return whole.write_to_buffer(SUFFIXES[kind], **options)


def noise(kind="png", width=400, height=300) -> bytes:
    """Return a picture that no format makes small."""
    grey = pyvips.Image.gaussnoise(width, height, mean=128, sigma=50).cast("uchar")
    return grey.bandjoin([grey, grey]).copy(interpretation="srgb").write_to_buffer(SUFFIXES[kind])


def seen(content: bytes):
    """Return a picture as whoever shows it reads it: format, width, height."""
    read = pyvips.Image.new_from_buffer(content, "")
    return read.get("vips-loader").removesuffix("_buffer"), read.width, read.height


def colour(content: bytes, x: int, y: int) -> tuple[int, ...]:
    """Return a pixel, roughly: of each band whether there is much of it."""
    return tuple(int(value > 100) for value in pyvips.Image.new_from_buffer(content, "")(x, y)[:3])


def bomb(width=30_000, height=30_000) -> bytes:
    """Return a small file that says it is a very large picture, and holds all its pixels."""
    head = struct.pack("!IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))
