"""What bytes are by how they begin, as far as that is beyond doubt: a bucket of pictures takes no programs."""

from __future__ import annotations

import re

BEGINNING_BYTES = 1024
# Clients take one for another: what shows a JPEG shows a PNG. A drawing that may hold programs is none of them.
INERT_KINDS, ACTIVE_TYPES = frozenset({"image", "audio", "video", "font"}), frozenset({"image/svg+xml"})
# Of each, all names under which it may have been allowed, the usual one first. What others are built upon (ZIP, XML,
# the boxes of MP4) says nothing of what is in it, and is not here.
_BY_MAGIC: tuple[tuple[bytes, int, tuple[str, ...]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, ("image/png", "image/apng", "image/vnd.mozilla.apng")),
    (b"\xff\xd8\xff", 0, ("image/jpeg", "image/jpg", "image/pjpeg")),
    (b"GIF87a", 0, ("image/gif",)),
    (b"GIF89a", 0, ("image/gif",)),
    (b"%PDF-", 0, ("application/pdf", "application/x-pdf", "application/illustrator", "application/postscript")),
    (b"\x7fELF", 0, ("application/x-executable", "application/x-elf", "application/x-sharedlib")),
    (b"\xca\xfe\xba\xbe", 0, ("application/java-vm", "application/x-mach-binary")),
    (b"wOFF", 0, ("font/woff", "application/font-woff", "application/x-font-woff")),
    (b"wOF2", 0, ("font/woff2", "application/font-woff2")),
    (b"#!", 0, ("text/x-shellscript", "application/x-sh", "application/x-shellscript", "text/plain")),
    (b"fLaC", 0, ("audio/flac", "audio/x-flac")),
    (b"8BPS", 0, ("image/vnd.adobe.photoshop", "application/x-photoshop", "image/x-photoshop")),
    (b"WEBP", 8, ("image/webp",)),
    (b"WAVE", 8, ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")),
)
_PROGRAM = ("application/vnd.microsoft.portable-executable", "application/x-msdownload", "application/x-dosexec")
_COMMENT = rb"\s*(?:<!--.{0,400}?-->\s*)?"
_HTML = re.compile(_COMMENT + rb"<(?:!doctype\s+html|html|head|body|script|iframe)[\s>/]", re.IGNORECASE | re.DOTALL)
_SVG = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>)?" + _COMMENT + rb"(?:<!doctype\s+svg[^>]{0,400}>\s*)?<svg[\s>]",
    re.IGNORECASE | re.DOTALL,
)


def type_of(beginning: bytes) -> tuple[str, ...] | None:
    """Return the media types that bytes can pass for which begin so, or None where that is not beyond doubt."""
    for magic, at, types in _BY_MAGIC:
        if beginning[at : at + len(magic)] == magic and (at == 0 or beginning.startswith(b"RIFF")):
            return types
    if beginning.startswith(b"MZ") and len(beginning) > 64 and not beginning[:64].isascii():
        return _PROGRAM
    text = beginning.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(text):
        return ("text/html", "application/xhtml+xml", "text/plain")
    if _SVG.match(text):
        return ("image/svg+xml", "text/xml", "application/xml", "text/plain")
    return None
