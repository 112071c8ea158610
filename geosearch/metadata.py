"""What a photo says about itself: place, time, author, licence, caption, camera.

Read from header blocks and a sidecar, without decoding a pixel. Bad metadata never raises: it
becomes a note, so that a missing label has a reason. Manifests are read in `ingest/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from geosearch import exif, gps, xmp
from geosearch.errors import InvalidInput
from geosearch.formats import MetadataBlocks, metadata_blocks, open_header, orientation_of
from geosearch.geo import Coordinate
from geosearch.records import Label, LabelSource, PhotoMetadata
from geosearch.times import local_time_to_utc, parse_date_time, parse_offset

_DESCRIPTION, _MAKE, _MODEL, _ARTIST, _COPYRIGHT = 0x010E, 0x010F, 0x0110, 0x013B, 0x8298
_TAKEN_AT, _TAKEN_OFFSET, _TAKEN_SUBSECOND = 0x9003, 0x9011, 0x9291
_IPTC_BYLINE, _IPTC_COPYRIGHT, _IPTC_CAPTION = 80, 116, 120

_CAPTION_LIMIT, _NAME_LIMIT = 4000, 500
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")  # PostgreSQL refuses NUL
_FACTORY_CAPTIONS = {
    "default", "digital camera", "dcim", "exif_jpeg_picture", "jpeg", "olympus digital camera",
    "samsung", "sony dsc",
}  # fmt: skip
_XMP_DATES = ["exif:DateTimeOriginal", "photoshop:DateCreated"]
_DAMAGE_NOTES = 5
_CLOCKS_AGREE = timedelta(hours=1)


def sidecar_paths(path: Path) -> list[Path]:
    """Where a sidecar of `path` may lie, the one that names this very file first."""
    return [
        candidate
        for suffix in (".xmp", ".XMP")
        for candidate in (path.with_name(path.name + suffix), path.with_suffix(suffix))
    ]


def read_metadata(data: bytes, *, sidecar: bytes | None = None) -> PhotoMetadata:
    """What a photo's bytes and its XMP sidecar say, as facts and as notes on what was unusable.

    A position comes from the sidecar (a person wrote it later), else EXIF, else embedded XMP;
    so do author, licence and caption, and last from IPTC. `width` and `height` are upright.

    Raises:
        UnreadableImage: the bytes are no supported image or its header is damaged.
    """
    with open_header(data) as image:
        raw = metadata_blocks(image, data)
        width, height = image.size
        if orientation_of(image, raw) >= 5:
            width, height = height, width
    blocks = _Blocks.of(raw, sidecar)
    label = blocks.label()
    return PhotoMetadata(
        width=width,
        height=height,
        label=label,
        captured_at=blocks.captured_at(None if label is None else label.coordinate),
        author=blocks.text(["dc:creator"], _ARTIST, _IPTC_BYLINE),
        license=blocks.text(
            ["cc:license", "xmpRights:UsageTerms", "dc:rights"], _COPYRIGHT, _IPTC_COPYRIGHT
        ),
        caption=blocks.caption(),
        camera=blocks.camera(),
        notes=tuple(dict.fromkeys(blocks.notes)),
    )


@dataclass(slots=True)
class _Blocks:
    """The metadata blocks of one photo, and what could not be used of them."""

    tags: exif.ExifTags
    sidecar: Mapping[str, str]
    embedded: Mapping[str, str]
    iptc: Mapping[int, bytes]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, raw: MetadataBlocks, sidecar: bytes | None) -> _Blocks:
        notes: list[str] = []
        tags = exif.read_tags(raw.exif) if raw.exif else exif.ExifTags()
        notes.extend(tags.damage[:_DAMAGE_NOTES])
        return cls(
            tags,
            _properties(sidecar, "sidecar", notes),
            _properties(raw.xmp, "embedded XMP", notes),
            _iptc_records(raw.iptc or b""),
            notes,
        )

    def label(self) -> Label | None:
        """The first usable position; every unusable one before it is noted."""
        readers: list[tuple[str, LabelSource, Callable[[], Coordinate | None]]] = [
            ("sidecar", LabelSource.XMP, lambda: gps.xmp_coordinate(self.sidecar)),
            ("EXIF", LabelSource.EXIF, lambda: gps.exif_coordinate(self.tags.gps)),
            ("embedded XMP", LabelSource.XMP, lambda: gps.xmp_coordinate(self.embedded)),
        ]
        for where, source, read in readers:
            try:
                coordinate = read()
            except InvalidInput as error:
                self.notes.append(f"{where}: {error}")
                continue
            if coordinate is not None:
                if source is LabelSource.EXIF and gps.is_void(self.tags.gps):
                    self.notes.append("EXIF: the receiver had no fix (status V); may be outdated")
                if source is LabelSource.EXIF and gps.is_predicted(self.tags.gps):
                    source = LabelSource.PREDICTED  # a guess stays one when it is read again
                return Label(coordinate, source)
        return None

    def captured_at(self, coordinate: Coordinate | None) -> datetime | None:
        """When the shutter opened, in UTC.

        The camera's own clock comes first: with its offset, else as local time at the coordinate.
        The satellite stamp is the time of the *last fix*, not of the photo: of the sample photos
        that have both, cameras wrote it a day or seven years off. It decides only where there is
        no other zone or date, and is noted where it contradicts.
        """
        stamp = gps.utc_stamp(self.tags.gps)
        moment = self._written_date()
        if moment is not None and moment.tzinfo is None and coordinate is not None:
            moment = local_time_to_utc(moment, coordinate) or moment
        if moment is None and stamp is None and gps.DATE_STAMP in self.tags.gps:
            self.notes.append("EXIF: the satellite clock shows no possible date and time")
        if moment is None or (moment.tzinfo is None and stamp is not None):
            return stamp
        if moment.tzinfo is None:
            self.notes.append("the capture time has no zone and no position; read as UTC")
            return moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
        if stamp is not None and abs(stamp - moment) > _CLOCKS_AGREE:
            said = f"{stamp:%Y-%m-%d %H:%M} UTC and the camera's {moment:%Y-%m-%d %H:%M} UTC"
            self.notes.append(f"the GPS clock says {said}; the camera's was taken")
        return moment

    def text(self, properties: list[str], tag: int, record: int) -> str | None:
        """The first non-empty text of sidecar, EXIF, embedded XMP and IPTC."""
        return (
            _first(self.sidecar, properties, _NAME_LIMIT)
            or _clean(_bytes(self.tags.image.get(tag)), _NAME_LIMIT)
            or _first(self.embedded, properties, _NAME_LIMIT)
            or _clean(self.iptc.get(record), _NAME_LIMIT)
        )

    def caption(self) -> str | None:
        """As `text`, without what cameras and apps write there by themselves."""
        for candidate in (
            _first(self.sidecar, ["dc:description"], _CAPTION_LIMIT),
            _clean(_bytes(self.tags.image.get(_DESCRIPTION)), _CAPTION_LIMIT),
            _first(self.embedded, ["dc:description"], _CAPTION_LIMIT),
            _clean(self.iptc.get(_IPTC_CAPTION), _CAPTION_LIMIT),
        ):
            if candidate and candidate.lower() not in _FACTORY_CAPTIONS and candidate[0] != "{":
                return candidate
        return None

    def camera(self) -> str | None:
        """Make and model, the make once."""
        make, model = (_clean(_bytes(self.tags.image.get(t)), _NAME_LIMIT) for t in (_MAKE, _MODEL))
        if make and model and model.split()[0].lower() not in make.lower().split():
            return f"{make} {model}"
        return model or make

    def _written_date(self) -> datetime | None:
        """The first date that parses of EXIF, sidecar and embedded XMP; naive without an offset."""
        written = _bytes(self.tags.photo.get(_TAKEN_AT))
        for where, text in (
            ("EXIF", None if written is None else _clean(written, _NAME_LIMIT) or " "),
            ("sidecar", _first(self.sidecar, _XMP_DATES, _NAME_LIMIT)),
            ("embedded XMP", _first(self.embedded, _XMP_DATES, _NAME_LIMIT)),
        ):
            if text is None:
                continue
            moment = parse_date_time(text)
            if moment is None:
                self.notes.append(f"{where}: capture time {text[:40]!r} is not a date")
            elif where == "EXIF" and moment.tzinfo is None:
                return self._with_offset(moment)
            else:
                return moment
        return None

    def _with_offset(self, moment: datetime) -> datetime:
        fraction = _clean(_bytes(self.tags.photo.get(_TAKEN_SUBSECOND)), _NAME_LIMIT) or ""
        if moment.microsecond == 0 and fraction.isdecimal() and fraction.isascii():
            moment = moment.replace(microsecond=int(f"{fraction:0<6}"[:6]))
        offset = _clean(_bytes(self.tags.photo.get(_TAKEN_OFFSET)), _NAME_LIMIT)
        if offset is None or not offset.strip(" :"):
            return moment
        zone = parse_offset(offset)
        if zone is None:
            self.notes.append(f"EXIF: time offset {offset[:20]!r} is not an offset from UTC")
        return moment.replace(tzinfo=zone)


def _properties(packet: bytes | None, where: str, notes: list[str]) -> dict[str, str]:
    if not packet:
        return {}
    try:
        return xmp.read_packet(packet)
    except InvalidInput as error:
        notes.append(f"{where}: {error}")
        return {}


def _iptc_records(block: bytes) -> dict[int, bytes]:
    """Data sets of the application record (2) by number, the first of each.

    Source: IPTC-NAA Information Interchange Model 4.2, section 1.5.
    """
    records: dict[int, bytes] = {}
    position = 0
    while block[position : position + 1] == b"\x1c" and position + 5 <= len(block):
        record, number = block[position + 1], block[position + 2]
        length = int.from_bytes(block[position + 3 : position + 5], "big")
        if length > 0x7FFF:  # an extended data set, used for pictures only
            break
        position += 5
        if record == 2:
            records.setdefault(number, block[position : position + length])
        position += length
    return records


def _bytes(value: exif.Value | None) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _first(properties: Mapping[str, str], names: list[str], limit: int) -> str | None:
    return next((text for name in names if (text := _clean(properties.get(name), limit))), None)


def _clean(value: str | bytes | None, limit: int) -> str | None:
    """Text fit for the catalogue: decoded, one line, no control characters; None where empty.

    EXIF says ASCII and cameras write UTF-8 or their system's code page, mostly Windows-1252.
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        raw = value.strip(b"\x00 ")
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:
            value = raw.decode("cp1252", "replace")
    return " ".join(_CONTROLS.sub(" ", value).split())[:limit].rstrip() or None
