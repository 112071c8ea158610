"""Image formats: telling them by their bytes, opening headers safely, finding metadata blocks.

The only importer of Pillow's readers and of pillow_heif. Pixels are decoded in `images.py`, what
the blocks say is read in `metadata.py`.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from geosearch import exif
from geosearch.errors import UnreadableImage

MAX_DECLARED_PIXELS = 250_000_000
"""The largest image whose header is believed; phones write JPEGs of 200 megapixels."""

# What Pillow's and libheif's decoders raise on bytes that are not what they seem; found by fuzzing.
DECODER_ERRORS = (
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
_IPTC_RESOURCE = 0x0404
# Keyword, not compressed, no language, no translated keyword.
_PNG_XMP = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00"
_READABLE = "JPEG, PNG, WebP, TIFF and HEIC can be read"

# `warnings` has no per-thread state before Python 3.14, so whoever silences it must be alone.
_silence = threading.Lock()


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG reader without its look into EXIF for a resolution.

    That look warns about every damaged EXIF block; nothing here needs dots per inch.
    """

    def _read_dpi_from_exif(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class MetadataBlocks:
    """The raw metadata blocks of an image file, None where it has none."""

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None


def open_header(data: bytes, *, max_pixels: int = MAX_DECLARED_PIXELS) -> ImageFile.ImageFile:
    """Read an image's header and metadata blocks, no pixels; the caller closes what it gets.

    The reader is called by its class and not through `Image.open`, which warns about large images
    by a process-wide limit and tries formats that nobody asked for.

    Raises:
        UnreadableImage: no supported image, a damaged header, or more than `max_pixels`.
    """
    kind = _kind_of(data)
    if kind == "WEBP":  # its reader allocates the canvas at once
        refuse_large(_webp_size(data), max_pixels)
    read = _reader_of(kind)
    try:
        with silenced(kind, data):
            image = read(io.BytesIO(data))
    except DECODER_ERRORS as error:
        raise UnreadableImage(damage_of(kind, error)) from error
    refuse_large(image.size, max_pixels)
    return image


def metadata_blocks(image: ImageFile.ImageFile, data: bytes) -> MetadataBlocks:
    """The metadata blocks of an image opened from `data`, wherever its format keeps them."""
    block, xmp = image.info.get("exif"), image.info.get("xmp")
    if image.format == "TIFF":
        block = data  # a TIFF file is itself the structure that an EXIF block imitates
    elif image.format == "PNG" and not (block and xmp):
        late = _png_blocks(data)  # exiftool writes behind the pixels, where a header ends too soon
        block, xmp = block or late.get(b"eXIf"), xmp or late.get(b"iTXt")
    photoshop = image.info.get("photoshop")
    iptc = photoshop.get(_IPTC_RESOURCE) if isinstance(photoshop, dict) else None
    return MetadataBlocks(
        *(each if isinstance(each, bytes) else None for each in (block, xmp, iptc))
    )


def orientation_of(image: ImageFile.ImageFile, blocks: MetadataBlocks) -> int:
    """How far a decoded image is from upright, 1 (upright) to 8, as EXIF counts it.

    TIFF and HEIC are always 1: their readers turn the picture themselves.
    """
    if image.format in {"TIFF", "HEIF"} or blocks.exif is None:
        return 1
    return exif.orientation(blocks.exif)


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
        "JPEG": JpegFile,
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


def _png_blocks(data: bytes) -> dict[bytes, bytes]:
    """The EXIF chunk and the uncompressed XMP text chunk of a PNG file.

    Source: PNG specification, third edition, sections 5.3, 11.3.3.4 and 11.3.4.5.
    """
    found: dict[bytes, bytes] = {}
    position = 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">L4s", data, position)
        body = position + 8
        if name == b"eXIf":
            found[name] = data[body : body + length]
        elif name == b"iTXt" and data.startswith(_PNG_XMP, body):
            found[name] = data[body + len(_PNG_XMP) : body + length]
        position = body + length + 4
    return found


def refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    """Raise `UnreadableImage` for a size of more than `max_pixels`."""
    width, height = size
    if width * height > max_pixels:
        raise UnreadableImage(
            f"the image declares {width} × {height} pixels, more than the {max_pixels:,} allowed; "
            "save a smaller copy"
        )


@contextmanager
def silenced(kind: str | None, data: bytes) -> Iterator[None]:
    """Keep Pillow from warning about damaged tags: the photo's notes or an error will tell.

    Only TIFF and animated PNG readers warn; the rest decodes outside the lock, in parallel.
    """
    if kind == "TIFF" or (kind == "PNG" and b"acTL" in data):
        with _silence, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    else:
        yield


def damage_of(kind: str | None, error: BaseException) -> str:
    """A decoder's complaint as a sentence for the owner of the photo."""
    detail = " ".join(str(error).split())[:120] or type(error).__name__
    if isinstance(error, MemoryError):
        return f"the {kind} image does not fit in memory; save a smaller copy"
    return f"the {kind} image is damaged or cut short ({detail}); copy it again from its source"
