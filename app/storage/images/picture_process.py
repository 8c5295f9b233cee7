"""Transforms pictures for the process that serves files: what a stranger has made of one ends this process at worst.

A picture comes in on standard input with what is wanted of it, and goes out on standard output, until the input ends.
"""

from __future__ import annotations

import sys
from typing import Any

from app.storage.images.picture import PictureRefused, load_everything, transformed
from app.storage.images.transformation import Transformation
from infra.confinement import confine_process
from infra.helper_messages import read_message, write_message
from infra.priority import step_back_process

NICE = 10
MEMORY_BYTES = 1536 * 1024 * 1024
# What a drawing's letters are made with.
FONTS = ("/usr/share/fonts", "/usr/local/share/fonts", "/etc/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig")


def answer(about: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the type of what became of a picture, and its bytes; or why nothing did."""
    try:
        kind, made = transformed(raw, Transformation.of(about["wanted"], "wanted"), about["format"])
    except PictureRefused as error:
        return {"refused": str(error)}, b""
    return {"type": kind}, made


def main() -> None:
    """Transform one picture after the other until there are no more."""
    step_back_process(NICE)
    load_everything()
    confine_process(MEMORY_BYTES, FONTS)
    while True:
        try:
            about, raw = read_message(sys.stdin.buffer)
        except EOFError:
            return
        write_message(sys.stdout.buffer, *answer(about, raw))


if __name__ == "__main__":
    main()
