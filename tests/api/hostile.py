"""Uploads that mean harm, or look like it, each with what the server must make of it.

Made anew each time from a few lines, so that what is in them can be read; nothing is random.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

REFUSED = "failed"
HARMLESS = "unlabelled"
"""A photo like any other, whatever was hidden in it; nobody believes a place that it claims."""


@dataclass(frozen=True)
class Hostile:
    """One upload: its file name, its bytes, the outcome, and words that the reason must hold."""

    file: str
    data: bytes
    outcome: str
    reason: str = ""


def picture(
    kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (64, 48), **o: object
) -> bytes:
    """A small picture of coarse colours, in a format and mode of Pillow."""
    colors = np.random.default_rng(len(kind) + len(mode)).integers(
        0, 256, (4, 4, 3), dtype=np.uint8
    )
    image = Image.fromarray(colors).resize(size, Image.Resampling.NEAREST).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **o)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file with its checksum."""
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def png(
    width: int, height: int, pixels: bytes | None = None, *, before: bytes = b"", after: bytes = b""
) -> bytes:
    """An 8-bit RGB PNG of that size, whatever its pixels are, with chunks around them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(
        b"\0" + bytes([n % 256, 80, 90]) * min(width, 64) for n in range(min(height, 64))
    )
    body = zlib.compress(rows) if pixels is None else pixels
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + before + chunk(b"IDAT", body) + after + chunk(b"IEND", b"")


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segment(marker: int, body: bytes) -> bytes:
    """A JPEG with a segment of ours behind its first two bytes."""
    plain = picture()
    return plain[:2] + segment(marker, body) + plain[2:]


def with_exif(tiff: bytes) -> bytes:
    """A JPEG with an EXIF block."""
    return with_segment(0xE1, b"Exif\0\0" + tiff)


def with_xmp(packet: bytes) -> bytes:
    """A JPEG with an XMP packet."""
    return with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


def directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A little-endian TIFF directory: tag, type, count, value."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0, after: bytes = b"") -> bytes:
    """A TIFF file of one directory, which lies at 8."""
    return b"II*\0" + struct.pack("<I", 8) + directory(entries, following) + after


def gps(lat: tuple[int, int], lon: tuple[int, int] = (10, 1), *, kind: int = 5) -> bytes:
    """A JPEG whose EXIF says this latitude and longitude, as rationals of whole degrees."""
    numbers = b"".join(struct.pack("<II", *one) for one in (lat, (0, 1), (0, 1)))
    numbers += b"".join(struct.pack("<II", *one) for one in (lon, (0, 1), (0, 1)))
    start = 8 + 18 + 2 + 4 * 12 + 4
    places = directory(
        [
            (1, 2, 2, ord("N")),
            (2, kind, 3, start),
            (3, 2, 2, ord("E")),
            (4, kind, 3, start + 24),
        ]
    )
    return with_exif(tiff([(0x8825, 4, 1, 26)], after=places + numbers))


def strips(width: int, height: int, *more: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """A grey TIFF of one strip that begins behind the directory; later entries win."""
    entries = {
        256: (256, 4, 1, width), 257: (257, 4, 1, height), 258: (258, 3, 1, 8), 259: (259, 3, 1, 1),
        262: (262, 3, 1, 1), 277: (277, 3, 1, 1), 278: (278, 4, 1, height),
        279: (279, 4, 1, len(data)),
    }  # fmt: skip
    entries |= {entry[0]: entry for entry in more}
    entries.setdefault(273, (273, 4, 1, 8 + 2 + 12 * (len(entries) + 1) + 4))
    return tiff([entries[tag] for tag in sorted(entries)], after=data)


def frames(kind: str, count: int) -> bytes:
    """An animation of tiny frames."""
    some = [Image.new("L", (8, 8), n % 256) for n in range(count)]
    buffer = io.BytesIO()
    some[0].save(buffer, kind, save_all=True, append_images=some[1:], duration=10, loop=0)
    return buffer.getvalue()


def animated_png(count: int) -> bytes:
    """An APNG that claims so many frames and has them, all tiny."""
    pixels = zlib.compress((b"\0" + bytes(24)) * 8)
    control = struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 100, 0, 0)
    late = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * n + 1) + control[4:])
        + chunk(b"fdAT", struct.pack(">I", 2 * n + 2) + pixels)
        for n in range(count - 1)
    )
    begin = chunk(b"acTL", struct.pack(">II", count, 0)) + chunk(b"fcTL", control)
    return png(8, 8, pixels, before=begin, after=late)


def archive(kind: str) -> bytes:
    """A ZIP or TAR archive with a member that leads out."""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("../../etc/cron.d/x", bytes(1_000_000))
    else:
        with tarfile.open(fileobj=buffer, mode="w") as tarred:
            link = tarfile.TarInfo("photo.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tarred.addfile(link)
    return buffer.getvalue()


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><x>&j;</x>"
)
FETCHES = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
MEGABYTES = 100
ZEROS = zlib.compress(bytes(MEGABYTES * 1_000_000), 9)
"""A tenth of a megabyte that unfolds to a hundred."""


def _international(body: bytes, *, is_packed: bool = False) -> bytes:
    head = b"XML:com.adobe.xmp\0" + bytes([int(is_packed), 0, 0, 0])
    return chunk(b"iTXt", head + body)


def hostile_uploads() -> dict[str, Hostile]:
    """All of them by name."""
    jpeg, plain_png = picture(), picture("PNG")
    webp, tif = picture("WEBP"), picture("TIFF")
    return {
        # Nothing, and what is no image
        "empty": Hostile("a.jpg", b"", REFUSED, "empty"),
        "one byte": Hostile("a.jpg", b"\xff", REFUSED, "does not begin like an image"),
        "text": Hostile("a.jpg", b"not a photo", REFUSED, "does not begin like an image"),
        "url": Hostile("a.jpg", b"http://169.254.169.254/latest/meta-data", REFUSED, "does not"),
        "script": Hostile("a.jpg", b"<script>alert(1)</script>", REFUSED, "does not begin"),
        "svg with a script": Hostile(
            "a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", REFUSED, "SVG"
        ),
        "web page as jpg": Hostile("a.jpg", b"<html><script>1</script>", REFUSED, "web page"),
        "pdf": Hostile("a.jpg", b"%PDF-1.7 /OpenAction", REFUSED, "PDF"),
        "executable": Hostile("a.jpg", b"\x7fELF" + bytes(200), REFUSED, "does not begin"),
        "pickle": Hostile("a.npy", b"\x80\x04cos\nsystem\n.", REFUSED, "does not begin"),
        "manifest with a BOM": Hostile("a.csv", b"\xef\xbb\xbfpath,lat,lon\n", REFUSED, "does not"),
        "manifest in UTF-16": Hostile("a.csv", "path,lat".encode("utf-16"), REFUSED, "does not"),
        "zip": Hostile("a.jpg", archive("zip"), REFUSED, "ZIP"),
        "tar": Hostile("a.tar", archive("tar"), REFUSED, "does not begin like an image"),
        "gzip bomb": Hostile("a.jpg", gzip.compress(bytes(20_000_000)), REFUSED, "does not begin"),
        "gif of 10,000 frames": Hostile("a.jpg", frames("GIF", 10_000), REFUSED, "GIF"),
        "bmp": Hostile("a.jpg", picture("BMP"), REFUSED, "BMP"),
        "photoshop": Hostile("a.jpg", b"8BPS" + bytes(100), REFUSED, "Photoshop"),
        "jpeg xl": Hostile("a.jpg", b"\xff\x0a" + bytes(100), REFUSED, "JPEG XL"),
        "avif": Hostile("a.jpg", b"\0\0\0\x18ftypavif" + bytes(64), REFUSED, "AVIF"),
        "video": Hostile("a.jpg", b"\0\0\0\x18ftypmp42" + bytes(64), REFUSED, "video"),
        # JPEG
        "jpeg of two markers": Hostile("a.jpg", b"\xff\xd8\xff\xd9", REFUSED, "damaged"),
        "jpeg cut in its head": Hostile("a.jpg", jpeg[:40], REFUSED, "damaged"),
        "jpeg cut in its pixels": Hostile("a.jpg", jpeg[: len(jpeg) - 80], REFUSED, "cut short"),
        "jpeg of 65,535 a side": Hostile(
            "a.jpg", _resized(jpeg, 65_535, 65_535), REFUSED, "pixels, more than"
        ),
        "jpeg of no width": Hostile("a.jpg", _resized(jpeg, 0, 48), REFUSED, "damaged"),
        "jpeg with a page in it": Hostile(
            "page.html", with_segment(0xFE, b"<script>alert(1)</script>"), HARMLESS
        ),
        "jpeg that is a zip too": Hostile("a.zip", jpeg + archive("zip"), HARMLESS),
        "jpeg with ICC garbage": Hostile(
            "a.jpg", with_segment(0xE2, b"ICC_PROFILE\0\1\1" + b"\xff" * 500), HARMLESS
        ),
        "jpeg in CMYK": Hostile("a.jpg", picture(mode="CMYK"), HARMLESS),
        "several pictures in one": Hostile("a.mpo", _mpo(), HARMLESS),
        # EXIF and XMP
        "EXIF directory that follows itself": Hostile(
            "a.jpg", with_exif(tiff([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8)], following=8)), HARMLESS
        ),
        "EXIF directory outside": Hostile("a.jpg", with_exif(b"II*\0\xff\xff\xff\x7f"), HARMLESS),
        "EXIF of 65,535 entries": Hostile(
            "a.jpg", with_exif(b"II*\0\x08\0\0\0\xff\xff" + bytes(200)), HARMLESS
        ),
        "EXIF of 4 GB": Hostile(
            "a.jpg", with_exif(tiff([(0x010E, 2, 0xFFFFFFFF, 8)])), HARMLESS
        ),
        "GPS over zero": Hostile("a.jpg", gps((0, 0), (0, 0)), HARMLESS),
        "GPS of infinity": Hostile("a.jpg", gps((55, 0), (13, 0)), HARMLESS),
        "GPS of 200 degrees": Hostile("a.jpg", gps((200, 1), (400, 1)), HARMLESS),
        "GPS of four billion": Hostile("a.jpg", gps((0xFFFFFFFF, 1)), HARMLESS),
        "GPS as text": Hostile("a.jpg", gps((55, 1), kind=2), HARMLESS),
        "GPS as doubles that are none": Hostile("a.jpg", gps((0, 0x7FF80000), kind=12), HARMLESS),
        "XMP that laughs a billion times": Hostile("a.jpg", with_xmp(LAUGHS), HARMLESS),
        "XMP that laughs in UTF-16": Hostile(
            "a.jpg", with_xmp(LAUGHS.decode().encode("utf-16")), HARMLESS
        ),
        "XMP that reads files": Hostile("a.jpg", with_xmp(FETCHES), HARMLESS),
        "XMP of 9 MB": Hostile(
            "a.png", png(8, 8, before=_international(b"<x>" + bytes(9_000_000))), HARMLESS
        ),
        "XMP of 100,000 levels": Hostile(
            "a.png", png(8, 8, before=_international(b"<x>" * 100_000)), HARMLESS
        ),
        # PNG
        "png of 60,000 a side": Hostile(
            "a.png", png(60_000, 60_000), REFUSED, "pixels, more than"
        ),
        "png of two billion a side": Hostile(
            "a.png", png(2**31 - 1, 2**31 - 1), REFUSED, "pixels, more than"
        ),
        "png cut short": Hostile("a.png", plain_png[: len(plain_png) // 2], REFUSED, "cut short"),
        "png with a wrong checksum": Hostile(
            "a.png", plain_png[:20] + b"\1" + plain_png[21:], REFUSED, "damaged"
        ),
        "png whose text unfolds": Hostile(
            "a.png", png(8, 8, before=chunk(b"zTXt", b"c\0\0" + ZEROS)), REFUSED, "damaged"
        ),
        "png whose profile unfolds": Hostile(
            "a.png", png(8, 8, before=chunk(b"iCCP", b"c\0\0" + ZEROS)), REFUSED, "damaged"
        ),
        "png whose XMP unfolds": Hostile(
            "a.png", png(8, 8, before=_international(ZEROS, is_packed=True)), REFUSED, "damaged"
        ),
        "png whose pixels unfold": Hostile("a.png", png(8, 8, ZEROS), HARMLESS),
        "png of 10,000 frames": Hostile("a.png", animated_png(10_000), HARMLESS),
        "png of one pixel": Hostile("a.png", picture("PNG", size=(1, 1)), HARMLESS),
        "png of one column": Hostile("a.png", picture("PNG", size=(1, 4000)), HARMLESS),
        "png of 16 bits": Hostile("a.png", _deep_png(), HARMLESS),
        "png with a palette and holes": Hostile(
            "a.png", picture("PNG", "P", transparency=b"\0\x80\xff"), HARMLESS
        ),
        # WebP, TIFF, HEIC
        "webp cut short": Hostile("a.webp", webp[: len(webp) // 2], REFUSED, "damaged"),
        "webp of 16,384 a side": Hostile(
            "a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X\n\0\0\0" + bytes(4) + b"\xff\x3f\0" * 2,
            REFUSED, "pixels, more than",
        ),
        "webp of nothing": Hostile("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X", REFUSED, "damaged"),
        "webp of 500 frames": Hostile("a.webp", frames("WEBP", 500), HARMLESS),
        "tiff of 100,000 a side": Hostile(
            "a.tif", strips(100_000, 100_000), REFUSED, "pixels, more than"
        ),
        "tiff that follows itself": Hostile("a.tif", _looped(tif), HARMLESS),
        "tiff of 2,000 pages": Hostile("a.tif", frames("TIFF", 2_000), HARMLESS),
        "tiff whose pixels lie outside": Hostile(
            "a.tif", strips(64, 64, (273, 4, 1, 0x7FFFFFFF)), REFUSED, "damaged"
        ),
        "tiff whose pixels unfold": Hostile(
            "a.tif", strips(64, 64, (259, 3, 1, 8), data=ZEROS), HARMLESS
        ),
        "tiff of floats": Hostile("a.tif", picture("TIFF", "F"), REFUSED, "32-bit"),
        "big tiff of garbage": Hostile("a.tif", b"II+\0\x08\0\0\0" + b"\xff" * 64, REFUSED, "dam"),
        "heic of nothing": Hostile("a.heic", b"\0\0\0\x18ftypheic" + bytes(64), REFUSED, "HE"),
        "heic with a box of 4 GB": Hostile(
            "a.heic", b"\0\0\0\x18ftypheic" + bytes(12) + b"\xff\xff\xff\xffmeta" + bytes(64),
            REFUSED, "HE",
        ),
    }  # fmt: skip


def _resized(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def _mpo() -> bytes:
    buffer = io.BytesIO()
    first, second = (Image.new("RGB", (32, 32), color) for color in ("red", "blue"))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    return buffer.getvalue()


def _deep_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20).save(buffer, "PNG")
    return buffer.getvalue()


def _looped(tif: bytes) -> bytes:
    """A TIFF whose directory says that the next one is itself."""
    (start,) = struct.unpack_from("<I", tif, 4)
    (count,) = struct.unpack_from("<H", tif, start)
    end = start + 2 + 12 * count
    return tif[:end] + struct.pack("<I", start) + tif[end + 4 :]
