import io
import math
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from geosearch.errors import UnreadableImage
from geosearch.images import open_rgb

SHARED = Path(__file__).parents[2] / "shared" / "photos"
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF"]
fuzzing = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def scene(width=48, height=32):
    """Four flat colours in the corners: survives JPEG, and every turn of it looks different."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2), fill=(30, 200, 30))
    draw.rectangle((0, height // 2, width // 2, height), fill=(30, 30, 200))
    draw.rectangle((width // 2, height // 2, width, height), fill=(220, 220, 220))
    return image


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}), **options)
    return buffer.getvalue()


def difference(image, expected):
    a, b = (np.asarray(each, dtype=int) for each in (image, expected))
    assert a.shape == b.shape
    return np.abs(a - b).max()


def png_chunk(name, body):
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png(width, height, depth, colour, rows):
    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(name, body)
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def opens(data, **options):
    """True for an image, False for a refusal; anything else raised fails the test."""
    try:
        image = open_rgb(data, **options)
    except UnreadableImage:
        return False
    assert image.mode == "RGB"
    return True


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_rgb_picture(kind):
    image = open_rgb(encoded(scene(), kind, **({"quality": 95} if kind == "JPEG" else {})))
    assert (image.mode, image.size) == ("RGB", (48, 32))
    assert image.getpixel((4, 4)) == pytest.approx((200, 30, 30), abs=8)
    assert image.getpixel((44, 28)) == pytest.approx((220, 220, 220), abs=8)


def test_result_is_a_plain_image_without_metadata_or_file():
    exif = Image.Exif()
    exif[0x010E] = "a caption"
    image = open_rgb(encoded(scene(), "JPEG", exif=exif, comment=b"note"))
    assert type(image) is Image.Image
    assert image.info == {}
    assert not image.getexif()


# The side of the scene where row 0 and column 0 of the stored picture lie: Exif 2.32, tag 274.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1, :],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[:, ::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[::-1, :].transpose(1, 0, 2),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", FORMATS)
def test_picture_is_turned_upright(kind, orientation):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(scene()))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image = open_rgb(encoded(stored, kind, exif=exif, **options))
    assert difference(image, scene()) <= (12 if kind == "JPEG" else 0)


def test_an_orientation_outside_1_to_8_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 42
    assert difference(open_rgb(encoded(scene(), "PNG", exif=exif)), scene()) == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, axis=0)
    image = np.asarray(open_rgb(encoded(Image.fromarray(ramp), kind)))
    assert np.abs(image[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bit_colour_is_scaled_and_not_clipped():
    row = b"\x00" + struct.pack(">6H", 65535, 32768, 0, 256, 512, 1024)
    image = open_rgb(png(2, 1, 16, 2, row))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 128, 0), (1, 2, 4)]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_an_agreed_white_are_refused(mode):
    with pytest.raises(UnreadableImage, match="no agreed white; export it"):
        open_rgb(encoded(Image.new(mode, (4, 4), 7), "TIFF"))


def test_cmyk_jpeg_in_adobes_inverted_form_keeps_its_colours():
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    data = encoded(ink, "JPEG", quality=95)
    assert b"Adobe" in data
    assert open_rgb(data).getpixel((8, 8)) == pytest.approx((0, 255, 255), abs=6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_shows_white(kind):
    image = Image.new("RGBA", (4, 4), (0, 0, 255, 0))
    image.putpixel((0, 0), (0, 0, 255, 255))
    image.putpixel((1, 0), (0, 0, 255, 128))
    rgb = open_rgb(encoded(image, kind))
    assert rgb.getpixel((0, 0)) == (0, 0, 255)
    assert rgb.getpixel((1, 0)) == pytest.approx((127, 127, 255), abs=1)
    assert rgb.getpixel((2, 2)) == (255, 255, 255)


def test_palette_with_transparent_entries_shows_white_there():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    rgb = open_rgb(encoded(image, "PNG", transparency=b"\xff\x00"))
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]


def test_grey_with_alpha_becomes_rgb_on_white():
    image = Image.new("LA", (2, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    rgb = open_rgb(encoded(image, "PNG"))
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(10, 10, 10), (255, 255, 255)]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_first_frame_stands_for_an_animation(kind):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    data = encoded(red, kind, save_all=True, append_images=[blue])
    assert open_rgb(data).getpixel((4, 4)) == (255, 0, 0)


def test_heic_opens_when_its_package_is_installed():
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(scene(64, 48)).save(buffer, quality=90)
    image = open_rgb(buffer.getvalue())
    assert image.size == (64, 48)
    assert image.getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=12)


def test_heic_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match=r"pip install 'geosearch\[heic\]'"):
        open_rgb(b"\x00\x00\x00\x18ftypheic" + bytes(40))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, I am a .jpg", "does not begin like an image"),
        (b"\n <!DOCTYPE html><html>", "is a web page, whatever its name says"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x00\x00\x00\x20ftypmp42", "is a video"),
        (b"\x00\x00\x00\x20ftypavif", "is an AVIF image"),
        (b"\xff\xd8\xff", "JPEG image is damaged or cut short"),
        (b"RIFF\x00\x00\x00\x00WEBP", "WEBP image is damaged or cut short"),
    ],
)
def test_what_is_no_photo_is_refused_in_a_plain_sentence(data, sentence):
    with pytest.raises(UnreadableImage, match=sentence):
        open_rgb(data)


def test_gif_is_refused_by_name():
    with pytest.raises(UnreadableImage, match="is a GIF image"):
        open_rgb(encoded(scene(), "GIF"))


def test_png_bomb_is_refused_by_its_header():
    with pytest.raises(UnreadableImage, match="50000 × 50000 pixels, more than the"):
        open_rgb(png(50_000, 50_000, 8, 2, b"\x00" * 1000))


def test_webp_bomb_is_refused_before_its_canvas_is_allocated():
    size = (16_383).to_bytes(3, "little")
    body = b"WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00" + size + size
    with pytest.raises(UnreadableImage, match="16384 × 16384 pixels"):
        open_rgb(b"RIFF" + struct.pack("<L", len(body)) + body)


def test_large_image_is_refused_without_a_warning_of_pillows_own_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImage, match="more than the 1,500 allowed"):
        open_rgb(encoded(scene(), "PNG"), max_pixels=1500)
    assert open_rgb(encoded(scene(), "PNG"), max_pixels=1600).size == (48, 32)


def test_jpeg_over_the_limit_opens_when_scaling_brings_it_below():
    data = encoded(scene(140, 140), "JPEG")
    with pytest.raises(UnreadableImage, match="more than the 10,000 allowed"):
        open_rgb(data, max_pixels=10_000)
    assert open_rgb(data, min_side=8, max_pixels=10_000).size == (18, 18)
    progressive = encoded(scene(140, 140), "JPEG", progressive=True)
    with pytest.raises(UnreadableImage, match="more than the 10,000 allowed"):
        open_rgb(progressive, min_side=8, max_pixels=10_000)


@fuzzing
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    min_side=st.integers(1, 300),
    oversample=st.floats(1.0, 4.0),
)
def test_scaled_jpeg_keeps_the_shorter_side_that_was_asked_for(width, height, min_side, oversample):
    data = encoded(Image.new("L", (width, height)), "JPEG")
    scaled = min(open_rgb(data, min_side=min_side, oversample=oversample).size)
    needed = math.ceil(min_side * oversample)
    assert min(width, height, needed) <= scaled <= min(width, height)
    assert scaled < 2 * needed or scaled == min(width, height) or scaled * 8 >= min(width, height)


def test_scaling_keeps_the_picture_and_spares_other_formats():
    big = scene(1600, 1200)
    small = open_rgb(encoded(big, "JPEG", quality=95), min_side=100)
    assert small.size == (400, 300)
    assert small.getpixel((10, 10)) == pytest.approx((200, 30, 30), abs=8)
    assert open_rgb(encoded(big, "PNG"), min_side=100).size == (1600, 1200)


@pytest.mark.parametrize("options", [{"min_side": 0}, {"min_side": 5, "oversample": 0.5}])
def test_an_impossible_size_is_an_error_of_the_caller(options):
    with pytest.raises(ValueError, match="must be at least 1"):
        open_rgb(encoded(scene(), "JPEG"), **options)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_at_any_byte_is_an_image_or_a_refusal(kind):
    data = encoded(scene(24, 16), kind)
    results = [opens(data[:size]) for size in range(len(data))]
    assert not any(results[: len(data) // 2])
    assert opens(data)


@fuzzing
@given(st.binary(max_size=300), st.sampled_from(["", *FORMATS]))
def test_random_bytes_are_an_image_or_a_refusal(noise, kind):
    data = encoded(scene(8, 8), kind)[:40] if kind else b""
    assert opens(data + noise) in (True, False)
    assert not opens(noise[:2])


@fuzzing
@given(st.data(), st.sampled_from(FORMATS))
def test_flipped_bytes_are_an_image_or_a_refusal(choice, kind):
    data = bytearray(encoded(scene(16, 16), kind))
    for _ in range(choice.draw(st.integers(1, 8))):
        data[choice.draw(st.integers(0, len(data) - 1))] = choice.draw(st.integers(0, 255))
    assert opens(bytes(data), min_side=4) in (True, False)


def test_damaged_tiff_tags_leave_the_processs_warning_filters_alone():
    whole = encoded(scene(), "TIFF", software="x" * 40)
    damaged = whole.replace(b"\x31\x01\x02\x00\x29\x00", b"\x31\x01\x02\x00\x29\xff")
    assert damaged != whole
    before = list(warnings.filters)
    assert open_rgb(damaged).size == (48, 32)
    assert warnings.filters == before


def test_many_threads_decode_the_same_pictures():
    files = [encoded(scene(60 + n, 40), kind) for n in range(4) for kind in FORMATS]
    alone = [open_rgb(data).tobytes() for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: open_rgb(data).tobytes(), files * 4))
    assert together == alone * 4


@pytest.mark.skipif(not SHARED.exists(), reason="the shared sample photos are not here")
def test_every_sample_photo_opens():
    photos = sorted(SHARED.rglob("*.jpg"))
    sizes = [open_rgb(path.read_bytes(), min_side=32).size for path in photos]
    assert len(sizes) >= 150
    assert min(min(size) for size in sizes) >= 16
