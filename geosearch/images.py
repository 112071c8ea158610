"""Safe decoding: bytes from outside become upright 8-bit RGB, or an error in a plain sentence.

The only importer of Pillow's format plugins and of pillow_heif. What a photo says about itself
(place, time, author) lives in `metadata.py`; sizing for an encoder lives in `encoder/`.
"""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from geosearch import exif
from geosearch.errors import UnreadableImage

MAX_PIXELS = 100_000_000
"""Decoded pixels that one image may take: 400 MB in Pillow, a 24,000 × 4,000 panorama."""

SCALED_JPEG_ALLOWANCE = 2.5
"""How many times `max_pixels` a baseline JPEG may declare when DCT scaling keeps it below that.

Phones write 200-megapixel JPEGs; scaled while decoding, they never take their full size in memory.
"""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow's and libheif's decoders raise on bytes that are not what they seem; found by fuzzing.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_OTHER_KINDS = {
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"8BPS": "a Photoshop document",
    b"\xff\x0a": "a JPEG XL image",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000 image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
}
_READABLE = "JPEG, PNG, WebP, TIFF and HEIC can be read"

# `warnings` has no per-thread state before Python 3.14, so whoever silences it must be alone.
_silence = threading.Lock()


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG reader without its look into EXIF for a resolution.

    That look warns about every damaged EXIF block; nothing here needs dots per inch.
    """

    def _read_dpi_from_exif(self) -> None:
        pass


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
        max_pixels: the most pixels to decode; more are refused before any is decoded.

    Raises:
        UnreadableImage: no supported image, too large, damaged or cut short.
    """
    if min_side is not None and (min_side < 1 or oversample < 1.0):
        raise ValueError(f"min_side {min_side} and oversample {oversample} must be at least 1")
    image = open_header(data, max_pixels=round(max_pixels * SCALED_JPEG_ALLOWANCE))
    with image:
        if min_side is not None and _scales_cheaply(image, max_pixels):
            side = math.ceil(min_side * oversample)
            image.draft(None, (side, side))
        _refuse_large(image.size, max_pixels)
        try:
            with _silenced(image.format, data):
                image.load()
            rgb = _to_rgb(image)
            turn = _UPRIGHT.get(orientation_of(image))
            if turn is not None:
                rgb = rgb.transpose(turn)
            elif rgb is image:
                rgb = image.copy()  # lets go of the file's bytes
        except UnreadableImage:
            raise
        except _DECODER_ERRORS as error:
            raise UnreadableImage(_damaged(image.format, error)) from error
    rgb.info = {}
    return rgb


def open_header(data: bytes, *, max_pixels: int | None = None) -> ImageFile.ImageFile:
    """Read an image's header and metadata blocks, no pixels; the caller closes what it gets.

    The reader is called by its class and not through `Image.open`, which warns about large images
    by a process-wide limit and tries formats that nobody asked for.

    Raises:
        UnreadableImage: no supported image, a damaged header, or more than `max_pixels`.
    """
    kind = _kind_of(data)
    if kind == "WEBP":  # its reader allocates the canvas at once
        _refuse_large(_webp_size(data), max_pixels or MAX_PIXELS)
    read = _reader_of(kind)
    try:
        with _silenced(kind, data):
            image = read(io.BytesIO(data))
    except _DECODER_ERRORS as error:
        raise UnreadableImage(_damaged(kind, error)) from error
    if max_pixels is not None:
        _refuse_large(image.size, max_pixels)
    return image


def orientation_of(image: ImageFile.ImageFile) -> int:
    """How far an opened image is from upright, 1 (upright) to 8, as EXIF counts it.

    TIFF and HEIC are always 1: their readers turn the picture themselves.
    """
    block = image.info.get("exif")
    if image.format not in {"JPEG", "PNG", "WEBP"} or not isinstance(block, bytes):
        return 1
    return exif.orientation(block)


def _kind_of(data: bytes) -> str:
    if not data:
        raise UnreadableImage("the file is empty (0 bytes); copy it again from its source")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "TIFF"
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF_BRANDS:
            return "HEIF"
        what = "an AVIF image" if data[8:12] in (b"avif", b"avis") else "a video"
        raise UnreadableImage(f"the file is {what}; {_READABLE}")
    start = data[:64].lstrip()
    for prefix, what in _OTHER_KINDS.items():
        if start.startswith(prefix):
            raise UnreadableImage(f"the file is {what}, whatever its name says; {_READABLE}")
    raise UnreadableImage(f"the file does not begin like an image; {_READABLE}")


def _reader_of(kind: str) -> Callable[[io.BytesIO], ImageFile.ImageFile]:
    if kind == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise UnreadableImage(
                "the file is a HEIC image, which needs the package 'pillow-heif'; "
                "run: pip install 'geosearch[heic]'"
            ) from None
        reader: Callable[[io.BytesIO], ImageFile.ImageFile] = HeifImageFile
        return reader
    return {
        "JPEG": _JpegFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
    }[kind]


def _webp_size(data: bytes) -> tuple[int, int]:
    """Canvas size from a WebP header, `(0, 0)` where there is none (its reader will refuse it).

    Source: RFC 9649, sections 2.4 to 2.7.
    """
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:
        return 0, 0
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _scales_cheaply(image: ImageFile.ImageFile, max_pixels: int) -> bool:
    """Whether DCT scaling saves the memory that the declared size would take.

    A progressive JPEG keeps the coefficients of its full size, so one above `max_pixels` does not.
    """
    if not isinstance(image, _JpegFile):
        return False
    return not image.info.get("progressive") or image.width * image.height <= max_pixels


def _refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UnreadableImage(
            f"the image declares {width} × {height} pixels, more than the {max_pixels:,} allowed; "
            "save a smaller copy"
        )


@contextmanager
def _silenced(kind: str | None, data: bytes) -> Iterator[None]:
    """Keep Pillow from warning about damaged tags: the photo's notes or an error will tell.

    Only TIFF and animated PNG readers warn; the rest decodes outside the lock, in parallel.
    """
    if kind == "TIFF" or (kind == "PNG" and b"acTL" in data):
        with _silence, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    else:
        yield


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


def _damaged(kind: str | None, error: BaseException) -> str:
    detail = " ".join(str(error).split())[:120] or type(error).__name__
    if isinstance(error, MemoryError):
        return f"the {kind} image does not fit in memory; save a smaller copy"
    return f"the {kind} image is damaged or cut short ({detail}); copy it again from its source"
