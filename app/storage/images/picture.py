"""Transforms one picture by libvips. Only what runs in a process of its own gets here: the library is written in C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyvips

from app.storage.images.geometry import corner, plan_of

if TYPE_CHECKING:
    from app.storage.images.transformation import Transformation

PIXELS_MAX = 50_000_000
UNSUPPORTED = "The source image is invalid or unsupported for rendering"
TOO_MANY_PIXELS = "The source image resolution is too large to process"
# From this number on, a camera says that the picture lies on its side.
SIDEWAYS = 5


class PictureRefused(Exception):
    """Nothing can be made of this picture, in words for whoever asks."""


@dataclass(frozen=True)
class _Format:
    """A format that is written. options: how; quality: the usual one, where there is such a thing."""

    type: str
    suffix: str
    options: dict[str, Any]
    quality: int | None = None


_WRITTEN: dict[str, _Format] = {
    "jpeg": _Format("image/jpeg", ".jpg", {"optimize_coding": True}, 80),
    "png": _Format("image/png", ".png", {"compression": 6}),
    "gif": _Format("image/gif", ".gif", {"effort": 3}),
    "webp": _Format("image/webp", ".webp", {"effort": 3}, 80),
    "avif": _Format("image/avif", ".avif", {"effort": 1, "compression": "av1"}, 62),
    "tiff": _Format("image/tiff", ".tif", {"compression": "deflate"}),
}
# What is read at all: a format by how the library's reader of it is called. It has many more, which nobody needs here.
_READ = {"jpeg": "Jpeg", "png": "Png", "gif": "Nsgif", "webp": "Webp", "avif": "Heif", "tiff": "Tiff", "svg": "Svg"}
_OF_LOADER = {"jpegload": "jpeg", "pngload": "png", "gifload": "gif", "webpload": "webp", "heifload": "avif"} | {
    "tiffload": "tiff",
    "svgload": "png",
}


def load_everything() -> None:
    """Load what the library loads on first use, and bound what it reads and keeps: later nothing can be opened."""
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for reader in _READ.values():
        pyvips.operation_block_set(f"VipsForeignLoad{reader}", False)
    pyvips.cache_set_max(0)
    tiny = pyvips.Image.black(2, 2, bands=3).copy(interpretation="srgb")
    for each in _WRITTEN.values():
        pyvips.Image.thumbnail_buffer(tiny.write_to_buffer(each.suffix), 1, output_profile="srgb").avg()


def transformed(raw: bytes, wanted: Transformation, target: str | None) -> tuple[str, bytes]:
    """Return the type of what becomes of a picture, and its bytes. Raises PictureRefused.

    target  avif or webp; None: as it was, where that can be written
    """
    try:
        source = pyvips.Image.new_from_buffer(raw, "", access="sequential")
        if source.width * source.height > PIXELS_MAX:
            raise PictureRefused(TOO_MANY_PIXELS)
        chosen = _WRITTEN[target or _OF_LOADER[str(source.get("vips-loader")).removesuffix("_buffer")]]
        options = dict(chosen.options)
        if chosen.quality is not None:
            options["Q"] = wanted.quality or chosen.quality
        return chosen.type, _resized(raw, source, wanted).write_to_buffer(chosen.suffix, keep="none", **options)
    except (pyvips.Error, KeyError) as error:
        raise PictureRefused(UNSUPPORTED) from error


def _resized(raw: bytes, source: pyvips.Image, wanted: Transformation) -> pyvips.Image:
    """Return the first picture of what is there, upright, in the colours of screens, scaled and cut."""
    width, height = source.width, source.height
    if source.get_typeof("orientation") and source.get("orientation") >= SIDEWAYS:
        width, height = height, width
    plan = plan_of(wanted, width, height)
    scaled = pyvips.Image.thumbnail_buffer(
        raw, plan.width, height=plan.height, size="force", output_profile="srgb", intent="perceptual"
    )
    if scaled.format != "uchar":
        scaled = scaled.colourspace("srgb").cast("uchar")
    if (plan.cut_width, plan.cut_height) == (scaled.width, scaled.height):
        return scaled
    if wanted.gravity == "sm":  # it is looked at before it is cut
        return scaled.copy_memory().smartcrop(plan.cut_width, plan.cut_height, interesting="attention")
    return scaled.crop(*corner(wanted, plan), plan.cut_width, plan.cut_height)
