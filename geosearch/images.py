"""Safe decoding: bytes from outside become upright 8-bit RGB, or an error in a plain sentence.

Formats and their readers live in `formats.py`, what a photo says about itself in `metadata.py`,
sizing for an encoder in `encoder/`.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFile

from geosearch.errors import UnreadableImage
from geosearch.formats import (
    DECODER_ERRORS,
    MAX_DECLARED_PIXELS,
    JpegFile,
    damage_of,
    metadata_blocks,
    open_header,
    orientation_of,
    refuse_large,
    silenced,
)

MAX_PIXELS = 100_000_000
"""Decoded pixels that one image may take: 400 MB in Pillow, a panorama of 20,000 × 5,000."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_rgb(
    data: bytes,
    *,
    min_side: int | None = None,
    oversample: float = 2.0,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Decode bytes to an upright RGB image of 8 bits a channel.

    The first frame of an animation; transparency on white; 16 bits scaled to 8; EXIF orientation
    applied. The ICC profile is ignored, as the encoders' training pipelines ignored it. The result
    carries no metadata and holds neither file nor bytes. Safe to call from many threads.

    Args:
        data: the whole file; its type is told from its first bytes, never from a name.
        min_side: the size that the caller will shrink the shorter side to. Given, a JPEG is scaled
            down by 2, 4 or 8 while it is decoded, as far as the shorter side stays at least
            `oversample * min_side`; other formats are decoded in full.
        oversample: how many times `min_side` the shorter side must keep, at least 1.
        max_pixels: the most pixels to decode; more are refused before any is decoded. A JPEG that
            scaling brings below it may declare up to `MAX_DECLARED_PIXELS`.

    Raises:
        UnreadableImage: no supported image, too large, damaged or cut short.
    """
    if min_side is not None and (min_side < 1 or oversample < 1.0):
        raise ValueError(f"min_side {min_side} and oversample {oversample} must be at least 1")
    image = open_header(data, max_pixels=max(max_pixels, MAX_DECLARED_PIXELS))
    with image:
        if min_side is not None and _scales_cheaply(image, max_pixels):
            side = math.ceil(min_side * oversample)
            image.draft(None, (side, side))
        refuse_large(image.size, max_pixels)
        try:
            with silenced(image.format, data):
                image.load()
            rgb = _to_rgb(image)
            turn = _UPRIGHT.get(orientation_of(image, metadata_blocks(image, data)))
            if turn is not None:
                rgb = rgb.transpose(turn)
            elif rgb is image:
                rgb = image.copy()  # lets go of the file's bytes
        except UnreadableImage:
            raise
        except DECODER_ERRORS as error:
            raise UnreadableImage(damage_of(image.format, error)) from error
    rgb.info = {}
    return rgb


def _scales_cheaply(image: ImageFile.ImageFile, max_pixels: int) -> bool:
    """Whether DCT scaling saves the memory that the declared size would take.

    A progressive JPEG keeps the coefficients of its full size, so one above `max_pixels` does not.
    """
    if not isinstance(image, JpegFile):
        return False
    return not image.info.get("progressive") or image.width * image.height <= max_pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16 bits to 255, which turns such photos white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in {"I", "F", "LAB"}:
        raise UnreadableImage(
            f"the image has pixels of kind '{image.mode}' (32-bit or Lab), which have no agreed "
            "white; export it with 8 or 16 bits of grey or RGB"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")
