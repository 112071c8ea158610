import csv
import io
import math
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geosearch import exif
from geosearch.errors import UnreadableImage
from geosearch.geo import Coordinate
from geosearch.metadata import read_metadata, sidecar_paths
from geosearch.records import Label, LabelSource

SHARED = Path(__file__).parents[2] / "shared" / "photos"
fuzzing = settings(max_examples=200, deadline=None, derandomize=True, database=None)

DESCRIPTION, MAKE, MODEL, ARTIST, COPYRIGHT = 0x010E, 0x010F, 0x0110, 0x013B, 0x8298
TAKEN_AT, SUBSECOND, OFFSET = 0x9003, 0x9291, 0x9011
LAT_REF, LAT, LON_REF, LON, GPS_TIME, GPS_STATUS, GPS_DATE = 1, 2, 3, 4, 7, 9, 29
LUND = {LAT_REF: b"N", LAT: [(55, 1), (42, 1), (18, 1)],
        LON_REF: b"E", LON: [(13, 1), (11, 1), (36, 1)]}  # fmt: skip
IN_LUND = Coordinate(55.705, 13.1933333333)


def exif_block(image=None, photo=None, gps=None, order="<"):
    """An EXIF block; bytes become ASCII, pairs become rationals, whole numbers SHORT.

    Pillow cannot write 0/0 rationals or text that is not ASCII, and cameras do.
    """
    image, photo, gps = (dict(each or {}) for each in (image, photo, gps))
    image |= {0x8769: 0, 0x8825: 0}
    sizes = [2 + 12 * len(tags) + 4 for tags in (image, photo, gps)]
    starts = [8, 8 + sizes[0], 8 + sizes[0] + sizes[1]]
    image |= {0x8769: starts[1], 0x8825: starts[2]}
    heap_at, heap, body = 8 + sum(sizes), b"", b""
    for tags in (image, photo, gps):
        body += struct.pack(order + "H", len(tags))
        for tag, value in sorted(tags.items()):
            if isinstance(value, bytes):
                kind, count, raw = 2, len(value) + 1, value + b"\x00"
            elif isinstance(value, list):
                parts = [part for pair in value for part in pair]
                kind, count, raw = 5, len(value), struct.pack(f"{order}{len(parts)}L", *parts)
            else:
                kind, count, raw = 4, 1, struct.pack(order + "L", value)
            body += struct.pack(order + "HHL", tag, kind, count)
            if len(raw) > 4:
                body += struct.pack(order + "L", heap_at + len(heap))
                heap += raw
            else:
                body += raw.ljust(4, b"\x00")
        body += bytes(4)
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    return b"Exif\x00\x00" + mark + struct.pack(order + "L", 8) + body + heap


def photo_file(kind="JPEG", size=(12, 8), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, "olive").save(buffer, kind, **options)
    return buffer.getvalue()


def read(image=None, photo=None, gps=None, *, sidecar=None, order="<", **options):
    data = photo_file(exif=exif_block(image, photo, gps, order), **options)
    return read_metadata(data, sidecar=sidecar)


def packet(attributes="", elements=""):
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
    <x:xmpmeta xmlns:x="adobe:ns:meta/">
    <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"
      xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://creativecommons.org/ns#"
      xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" {attributes}>{elements}
    </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def position(lat, lon):
    return f'exif:GPSLatitude="{lat}" exif:GPSLongitude="{lon}"'


def near(label, coordinate, source=LabelSource.EXIF):
    assert label is not None
    assert label.source is source
    return label.coordinate.distance_km(coordinate) < 0.001


# --- position ---


@pytest.mark.parametrize("order", ["<", ">"])
def test_degrees_minutes_and_seconds_become_a_label(order):
    found = read(gps=LUND, order=order)
    assert near(found.label, IN_LUND)
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_format_carries_its_position(kind):
    tags = Image.Exif()
    tags[0x8825] = {1: "S", 2: (33.0, 51.0, 24.0), 3: "E", 4: (151.0, 12.0, 54.0)}
    found = read_metadata(photo_file(kind, exif=tags.tobytes()))
    assert near(found.label, Coordinate(-33.856667, 151.215))
    assert (found.width, found.height) == (12, 8)


def test_blocks_behind_the_pixels_of_a_png_are_found():
    text = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + packet("photoshop:DateCreated='1999-05-01'")
    late = b"".join(
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
        for name, body in ((b"eXIf", exif_block(gps=LUND)[6:]), (b"iTXt", text))
    )
    png = photo_file("PNG")
    found = read_metadata(png[:-12] + late + png[-12:])
    assert near(found.label, IN_LUND)
    assert found.captured_at == datetime(1999, 4, 30, 22, tzinfo=UTC)


def test_heic_carries_its_position():
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    buffer = io.BytesIO()
    picture = heif.from_pillow(Image.new("RGB", (64, 48)))
    picture.save(buffer, exif=exif_block(gps=LUND))
    assert near(read_metadata(buffer.getvalue()).label, IN_LUND)


def test_degrees_with_decimal_minutes_and_decimal_degrees_alone_are_read():
    minutes = LUND | {LAT: [(55, 1), (423, 10)], LON: [(13, 1), (116, 10)]}
    assert near(read(gps=minutes).label, IN_LUND)
    degrees = LUND | {LAT: [(55705, 1000)], LON: [(1319333333, 100000000)]}
    assert near(read(gps=degrees).label, IN_LUND)


@pytest.mark.parametrize(
    ("refs", "coordinate"),
    [
        ({LAT_REF: b"s", LON_REF: b"w"}, Coordinate(-55.705, -13.1933333)),
        ({LAT_REF: b"South", LON_REF: b"E\x00x"}, Coordinate(-55.705, 13.1933333)),
    ],
)
def test_hemisphere_letters_are_read_in_either_case_and_spelled_out(refs, coordinate):
    assert near(read(gps=LUND | refs).label, coordinate)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({LAT_REF: b"X"}, "latitude has hemisphere letter 'X'; it must be N or S"),
        ({LON_REF: b"N"}, "longitude has hemisphere letter 'N'; it must be E or W"),
        ({LON_REF: None}, "longitude has no hemisphere letter; it must be E or W"),
        ({LAT: None}, "latitude is missing"),
        ({LAT: [(0, 0), (0, 0), (0, 0)]}, "latitude has a rational over zero"),
        ({LON: [(13, 1), (11, 1), (0, 0)]}, "longitude has a rational over zero"),
        ({LAT: [(91, 1), (0, 1), (0, 1)]}, "latitude 91 0 0 is outside 0..90"),
        ({LAT: [(90, 1), (0, 1), (1, 1)]}, "latitude 90 0 1 is outside 0..90"),
        ({LON: [(200, 1), (0, 1), (0, 1)]}, "longitude 200 0 0 is outside 0..180"),
        ({LAT: [(55, 1), (75, 1), (0, 1)]}, "latitude 55 75 0 is outside"),
        ({LAT: b"55.705"}, "latitude is missing or is not one to three rational numbers"),
    ],
)
def test_an_unusable_position_is_no_label_and_a_note(change, sentence):
    gps = {tag: value for tag, value in (LUND | change).items() if value is not None}
    found = read(gps=gps)
    assert found.label is None
    assert [note for note in found.notes if note.startswith(f"EXIF: {sentence}")]


def test_exactly_zero_zero_is_no_label_and_a_note():
    found = read(gps=LUND | {LAT: [(0, 1)] * 3, LON: [(0, 1)] * 3})
    assert found.label is None
    assert found.notes == ("EXIF: position is exactly (0, 0), which cameras write without a fix",)


@pytest.mark.parametrize("axis", [LAT, LON])
def test_one_zero_axis_is_a_place(axis):
    found = read(gps=LUND | {axis: [(0, 1)] * 3})
    expected = Coordinate(0.0, IN_LUND.lon) if axis == LAT else Coordinate(IN_LUND.lat, 0.0)
    assert near(found.label, expected)


def test_a_position_marked_as_not_measured_is_kept_with_a_note():
    found = read(gps=LUND | {GPS_STATUS: b"V"})
    assert near(found.label, IN_LUND)
    assert "had no fix" in found.notes[0]


def test_no_gps_at_all_is_no_label_without_a_note():
    assert read(image={MAKE: b"Canon"}).label is None
    assert read(image={MAKE: b"Canon"}).notes == ()


# --- XMP and precedence ---


@pytest.mark.parametrize(
    ("lat", "lon"),
    [("55,42.3N", "13,11.6E"), ("55,42,18N", "13,11,36E"), ("55.705", "13.19333333"),
     ("55.705N", "13.19333333e"), ("+55.705", "13.19333333")],
)  # fmt: skip
def test_xmp_positions_are_read_in_every_written_form(lat, lon):
    found = read_metadata(photo_file(), sidecar=packet(position(lat, lon)))
    assert near(found.label, IN_LUND, LabelSource.XMP)


def test_xmp_position_in_elements_and_with_separate_letters_is_read():
    elements = """<exif:GPSLatitude>33.8567</exif:GPSLatitude>
      <exif:GPSLatitudeRef>S</exif:GPSLatitudeRef>
      <exif:GPSLongitude>151.215</exif:GPSLongitude>"""
    found = read_metadata(photo_file(), sidecar=packet(elements=elements))
    assert near(found.label, Coordinate(-33.8567, 151.215), LabelSource.XMP)


@pytest.mark.parametrize(
    ("lat", "lon", "sentence"),
    [
        ("0", "0", "exactly (0, 0)"),
        ("55,705", "13,193", "outside 0..90"),
        ("55,42.3", "13,11.6", "no hemisphere letter"),
        ("95.0", "13.0", "latitude 95 is outside"),
        ("north", "13.0", "latitude 'north' is not written like 55,42.3N"),
        ("55.7N", "", "longitude '' is not written like"),
    ],
)
def test_an_unusable_sidecar_position_is_noted_and_exif_is_used(lat, lon, sentence):
    found = read(gps=LUND, sidecar=packet(position(lat, lon)))
    assert near(found.label, IN_LUND)
    assert found.notes[0].startswith("sidecar: ")
    assert sentence in found.notes[0]


def test_sidecar_beats_exif_beats_embedded_xmp():
    inside, beside = packet(position("10N", "10E")), packet(position("20N", "20E"))
    both = photo_file(exif=exif_block(gps=LUND), xmp=inside)
    assert read_metadata(both, sidecar=beside).label == Label(
        Coordinate(20.0, 20.0), LabelSource.XMP
    )
    assert near(read_metadata(both).label, IN_LUND)
    assert read_metadata(photo_file(xmp=inside)).label == Label(
        Coordinate(10.0, 10.0), LabelSource.XMP
    )


def test_utf16_sidecar_is_read():
    text = packet(position("55.705", "13.1933333")).decode().replace("\ufeff", "")
    found = read_metadata(photo_file(), sidecar=text.encode("utf-16"))
    assert near(found.label, IN_LUND, LabelSource.XMP)


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + packet().decode()


@pytest.mark.parametrize(
    ("sidecar", "sentence"),
    [
        (LAUGHS.encode(), "with a DOCTYPE"),
        (LAUGHS.encode("utf-16"), "with a DOCTYPE"),
        (b"<a>&undefined;</a>", "not well-formed XML"),
        (b"<a><b></a>", "not well-formed XML"),
        (b"\x00\x01\x02", "not well-formed XML"),
        (b"\xff\xff\xff", "neither UTF-8 nor UTF-16"),
        (b" " * (8 * 1024 * 1024 + 1), "at most 8,388,608 are read"),
    ],
)
def test_a_sidecar_that_cannot_be_trusted_is_noted_and_not_read(sidecar, sentence):
    found = read(gps=LUND, sidecar=sidecar)
    assert near(found.label, IN_LUND)
    assert sentence in found.notes[0]


def test_the_sidecar_that_names_the_file_comes_first():
    names = [path.name for path in sidecar_paths(Path("a/photo.jpg"))]
    assert names == ["photo.jpg.xmp", "photo.xmp", "photo.jpg.XMP", "photo.XMP"]


# --- time ---

JULY = b"2018:07:25 16:34:23"


def test_the_cameras_offset_and_fraction_give_utc():
    found = read(photo={TAKEN_AT: JULY, OFFSET: b"-03:30", SUBSECOND: b"93"}, gps=LUND)
    assert found.captured_at == datetime(2018, 7, 25, 20, 4, 23, 930_000, tzinfo=UTC)


def test_a_local_time_takes_the_zone_of_the_position():
    assert read(photo={TAKEN_AT: JULY}, gps=LUND).captured_at == datetime(
        2018, 7, 25, 14, 34, 23, tzinfo=UTC
    )


def test_a_local_time_takes_the_zone_of_a_sidecars_position_too():
    found = read(photo={TAKEN_AT: JULY}, sidecar=packet(position("35.68N", "139.69E")))
    assert found.captured_at == datetime(2018, 7, 25, 7, 34, 23, tzinfo=UTC)


def test_a_local_time_without_zone_or_position_is_read_as_utc_with_a_note():
    found = read(photo={TAKEN_AT: JULY})
    assert found.captured_at == datetime(2018, 7, 25, 16, 34, 23, tzinfo=UTC)
    assert found.notes == ("the capture time has no zone and no position; read as UTC",)


STAMP = {GPS_DATE: b"2018:07:25", GPS_TIME: [(14, 1), (30, 1), (5, 2)]}


def test_the_satellite_clock_stands_in_where_the_camera_has_no_date_or_no_zone():
    moment = datetime(2018, 7, 25, 14, 30, 2, 500_000, tzinfo=UTC)
    assert read(gps=STAMP).captured_at == moment
    assert read(photo={TAKEN_AT: JULY}, gps=STAMP).captured_at == moment


def test_a_satellite_clock_that_contradicts_the_camera_is_noted():
    assert read(photo={TAKEN_AT: JULY}, gps=LUND | STAMP).notes == ()
    found = read(photo={TAKEN_AT: JULY}, gps=LUND | STAMP | {GPS_DATE: b"2011:07:15"})
    assert found.captured_at == datetime(2018, 7, 25, 14, 34, 23, tzinfo=UTC)
    assert found.notes[0].startswith("the GPS clock says 2011-07-15 14:30 UTC")


@pytest.mark.parametrize(
    "written", [b"0000:00:00 00:00:00", b"    :  :     :  :  ", b" ", b"2018:13:45 10:00:00"]
)
def test_a_date_that_is_none_is_noted(written):
    found = read(photo={TAKEN_AT: written})
    assert found.captured_at is None
    assert "is not a date" in found.notes[0]


@pytest.mark.parametrize(
    "stamp", [{GPS_DATE: b"0000:00:00"}, {GPS_TIME: [(0, 0)] * 3}, {GPS_TIME: [(25, 1)] * 3}]
)
def test_an_impossible_satellite_clock_is_no_time_and_a_note(stamp):
    found = read(gps=STAMP | stamp)
    assert found.captured_at is None
    assert found.notes == ("EXIF: the satellite clock shows no possible date and time",)


def test_an_impossible_offset_is_noted_and_the_position_gives_the_zone():
    found = read(photo={TAKEN_AT: JULY, OFFSET: b"+99:00"}, gps=LUND)
    assert found.captured_at == datetime(2018, 7, 25, 14, 34, 23, tzinfo=UTC)
    assert found.notes == ("EXIF: time offset '+99:00' is not an offset from UTC",)


def test_the_date_of_a_sidecar_stands_in_for_a_missing_one():
    beside = packet('photoshop:DateCreated="1936-05-01T12:00:00+01:00"')
    assert read(sidecar=beside).captured_at == datetime(1936, 5, 1, 11, tzinfo=UTC)


# --- texts ---


def test_texts_lose_nul_and_control_characters_and_end_somewhere():
    caption = b"two\x07 lines\r\nof\x1b text " + b"x" * 9000 + b"\x00\x00rest"
    found = read(image={DESCRIPTION: caption, ARTIST: b"\x00\x00"})
    assert found.caption.startswith("two lines of text xxx")
    assert len(found.caption) <= 4000
    assert found.author is None


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_texts_are_decoded_in_the_encodings_that_cameras_use(encoding):
    assert read(image={ARTIST: "Åsa Müller".encode(encoding)}).author == "Åsa Müller"


def test_author_license_and_caption_prefer_the_sidecar():
    beside = packet(
        elements="""<dc:creator><rdf:Seq><rdf:li>B. Author</rdf:li><rdf:li>C</rdf:li></rdf:Seq>
        </dc:creator><dc:description><rdf:Alt><rdf:li xml:lang="x-default">A &amp; B</rdf:li>
        </rdf:Alt></dc:description><dc:rights><rdf:Alt><rdf:li>rights</rdf:li></rdf:Alt></dc:rights>
        <cc:license rdf:resource="https://creativecommons.org/licenses/by/4.0/"/>"""
    )
    inside = {ARTIST: b"A. Author", COPYRIGHT: b"(c) A", DESCRIPTION: b"A caption"}
    alone, both = read(image=inside), read(image=inside, sidecar=beside)
    assert (alone.author, alone.license, alone.caption) == ("A. Author", "(c) A", "A caption")
    assert (both.author, both.caption) == ("B. Author", "A & B")
    assert both.license == "https://creativecommons.org/licenses/by/4.0/"


def test_iptc_names_the_author_where_nothing_else_does():
    records = b"".join(
        b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text
        for number, text in ((80, b"Press Person"), (116, b"(c) Agency"), (120, b"A demo"))
    )
    block = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">L", len(records)) + records
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    found = read_metadata(photo_file().replace(b"\xff\xd8", b"\xff\xd8" + segment, 1))
    assert (found.author, found.license, found.caption) == ("Press Person", "(c) Agency", "A demo")


@pytest.mark.parametrize(
    "caption", [b"OLYMPUS DIGITAL CAMERA         ", b"default", b'{"MAPCompassHeading":{}}', b"   "]
)
def test_what_cameras_and_apps_write_by_themselves_is_no_caption(caption):
    assert read(image={DESCRIPTION: caption}).caption is None


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [(b"Canon", b"Canon EOS 600D", "Canon EOS 600D"), (b"Google", b"Pixel", "Google Pixel"),
     (b"EASTMAN KODAK COMPANY", b"KODAK CX7530", "KODAK CX7530"), (b"HTC", b"", "HTC")],
)  # fmt: skip
def test_camera_names_its_make_once(make, model, camera):
    assert read(image={MAKE: make, MODEL: model}).camera == camera


def test_size_is_that_of_the_upright_picture():
    found = read(image={0x0112: 6}, size=(40, 30))
    assert (found.width, found.height) == (30, 40)


# --- damage ---


def test_one_damaged_tag_spares_the_others():
    block = exif_block(image={ARTIST: b"someone far away"}, gps=LUND)
    entry = block.index(struct.pack("<HH", ARTIST, 2))
    block = block[: entry + 8] + b"\xff\xff\xff\xff" + block[entry + 12 :]
    found = read_metadata(photo_file(exif=block))
    assert near(found.label, IN_LUND)
    assert (found.author, found.notes) == (
        None,
        ("tag 0x013b of the main EXIF directory is damaged",),
    )


def test_what_is_no_image_is_refused():
    with pytest.raises(UnreadableImage, match="empty"):
        read_metadata(b"")


def test_an_exif_block_cut_at_any_byte_gives_its_label_or_a_reason():
    block = exif_block({MAKE: b"A camera"}, {TAKEN_AT: JULY}, LUND)
    for size in range(7, len(block)):
        found = read_metadata(photo_file(exif=block[:size]))
        assert found.notes or near(found.label, IN_LUND), size


@fuzzing
@given(st.data())
def test_mutated_metadata_never_raises_and_gives_only_sound_values(choice):
    block = bytearray(exif_block({ARTIST: b"A name here"}, {TAKEN_AT: JULY}, LUND))
    for _ in range(choice.draw(st.integers(1, 12))):
        block[choice.draw(st.integers(6, len(block) - 1))] = choice.draw(st.integers(0, 255))
    sidecar = bytearray(packet(position("55,42.3N", "13,11.6E")))
    for _ in range(choice.draw(st.integers(1, 4))):
        sidecar[choice.draw(st.integers(0, len(sidecar) - 1))] = choice.draw(st.integers(0, 255))
    found = read_metadata(photo_file(exif=bytes(block)), sidecar=bytes(sidecar))
    assert (found.width, found.height) in {(12, 8), (8, 12)}
    assert found.captured_at is None or found.captured_at.tzinfo is UTC
    for text in (found.author, found.caption, found.camera, *found.notes):
        assert text is None or (text.isprintable() and text)


@fuzzing
@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\x00\x08\x00\x00\x00", b"MM\x00*"]))
def test_random_exif_blocks_read_as_tags_or_damage(noise, start):
    tags = exif.read_tags(start + noise)
    assert tags.image or tags.gps or tags.photo or tags.damage or start
    assert 1 <= exif.orientation(start + noise) <= 8


# --- real photos ---


@pytest.mark.skipif(not SHARED.exists(), reason="the shared sample photos are not here")
def test_real_cameras_give_the_published_coordinates_or_say_why_not():
    with (SHARED / "labels.csv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["dataset"] == "exif"]
    labelled = 0
    for row in rows:
        found = read_metadata((SHARED / row["path"]).read_bytes())
        if found.label is None:
            assert found.notes, row["path"]
            continue
        labelled += 1
        assert math.isclose(found.label.coordinate.lat, float(row["lat"]), abs_tol=1e-4)
        assert math.isclose(found.label.coordinate.lon, float(row["lon"]), abs_tol=1e-4)
    assert (len(rows), labelled) == (50, 50)
