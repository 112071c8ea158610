"""Postcards as files: JPEG with the tags that a camera would write, and the truth beside them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from geosearch.errors import ConfigError
from geosearch.geo import Coordinate
from geosearch.postcards.cities import CITIES
from geosearch.postcards.city import City
from geosearch.postcards.scene import draw
from geosearch.postcards.shots import Shot, plan_shot

ARTIST = "GeoSearch postcards"
LICENSE = "CC0-1.0"
HELD_OUT_FIRST_VIEW = 10_000
"""Held-out views are numbered from here, so that asking for more labelled ones never shows them."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A photo to be located: the file, which says nothing of place, and where it really is."""

    path: Path
    coordinate: Coordinate
    city: str


@dataclass(frozen=True, slots=True)
class Postcards:
    """What `write_postcards` wrote; `manifest` is the table of the held-out photos' coordinates."""

    directory: Path
    labelled: tuple[Path, ...]
    held_out: tuple[HeldOut, ...]
    manifest: Path


def write_postcards(
    directory: Path,
    *,
    cities: Sequence[City] | None = None,
    views_per_city: int = 8,
    held_out_per_city: int = 1,
    seed: int = 0,
    size: tuple[int, int] = (768, 512),
    quality: int = 87,
    progress: Callable[[int, int], None] | None = None,
) -> Postcards:
    """Draw the demo's photos into a directory; the same arguments write the same bytes.

    Labelled photos go to `labelled/*.jpg` with GPS in their EXIF, held-out ones to `unknown/*.jpg`
    without, and the truth about those to `truth.csv` (`path,lat,lon,city`; path from `directory`).

    Args:
        directory: made if it is missing; files of the same names are replaced.
        cities: which cities; all of `CITIES` unless told.
        views_per_city: labelled photos of each city.
        held_out_per_city: photos to locate of each city, on top of the labelled ones.
        seed: another seed is another collection of the same cities.
        size: width and height in pixels.
        quality: of the JPEG, 1 to 95.
        progress: called with (done, total) after each photo.

    Raises:
        ConfigError: a number is out of range.
    """
    if views_per_city < 0 or held_out_per_city < 0:
        raise ConfigError(
            f"{views_per_city} views and {held_out_per_city} held-out views a city: "
            "neither may be negative"
        )
    chosen = CITIES if cities is None else tuple(cities)
    total = len(chosen) * (views_per_city + held_out_per_city)
    labelled: list[Path] = []
    held_out: list[HeldOut] = []
    for folder in ("labelled", "unknown"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for city in chosen:
        slug = re.sub(r"[^a-z]+", "-", city.name.lower().replace("í", "i"))
        for view in range(views_per_city):
            path = directory / "labelled" / f"{slug}-{view:03d}.jpg"
            _write(path, city, view, seed=seed, size=size, quality=quality, with_gps=True)
            labelled.append(path)
            if progress is not None:
                progress(len(labelled) + len(held_out), total)
        for number in range(held_out_per_city):
            path = directory / "unknown" / f"{slug}-{number:03d}.jpg"
            view = HELD_OUT_FIRST_VIEW + number
            shot = _write(path, city, view, seed=seed, size=size, quality=quality, with_gps=False)
            held_out.append(HeldOut(path, shot.coordinate, city.name))
            if progress is not None:
                progress(len(labelled) + len(held_out), total)
    manifest = directory / "truth.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "lat", "lon", "city"))
        for photo in held_out:
            at = photo.coordinate
            name = photo.path.relative_to(directory).as_posix()
            rows.writerow((name, f"{at.lat:.6f}", f"{at.lon:.6f}", photo.city))
    return Postcards(directory, tuple(labelled), tuple(held_out), manifest)


def _write(
    path: Path,
    city: City,
    view: int,
    *,
    seed: int,
    size: tuple[int, int],
    quality: int,
    with_gps: bool,
) -> Shot:
    """One photo drawn and written; the caption of a held-out one does not name the city."""
    shot = plan_shot(city, view, seed=seed)
    image = draw(city, view, seed=seed, size=size)
    exif = exif_of(shot, caption=shot.caption if with_gps else None, with_gps=with_gps)
    image.save(path, "JPEG", quality=quality, subsampling="4:2:0", exif=exif)
    return shot


def exif_of(shot: Shot, *, caption: str | None, with_gps: bool) -> Image.Exif:
    """The tags of one photo.

    Without GPS the local time stays and its offset from UTC goes too: the pair of them gives a
    time zone, which is half the answer.
    """
    exif = Image.Exif()
    if caption is not None:
        exif[ExifTags.Base.ImageDescription] = caption.encode("utf-8")
    exif[ExifTags.Base.Artist] = ARTIST
    exif[ExifTags.Base.Copyright] = LICENSE
    exif[ExifTags.Base.Software] = "geosearch.postcards"
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.DateTimeOriginal] = shot.taken_at.strftime("%Y:%m:%d %H:%M:%S")
    if not with_gps:
        return exif
    offset = shot.taken_at.strftime("%z")
    detail[ExifTags.Base.OffsetTimeOriginal] = f"{offset[:3]}:{offset[3:5]}"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSVersionID] = b"\x02\x03\x00\x00"
    gps[ExifTags.GPS.GPSLatitudeRef] = "S" if shot.coordinate.lat < 0 else "N"
    gps[ExifTags.GPS.GPSLatitude] = _sexagesimal(abs(shot.coordinate.lat))
    gps[ExifTags.GPS.GPSLongitudeRef] = "W" if shot.coordinate.lon < 0 else "E"
    gps[ExifTags.GPS.GPSLongitude] = _sexagesimal(abs(shot.coordinate.lon))
    gps[ExifTags.GPS.GPSMapDatum] = "WGS-84"
    return exif


def _sexagesimal(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds as EXIF rationals, exact to 1/10,000 second (3 mm)."""
    ticks = round(degrees * 3600 * 10_000)
    minutes, rest = divmod(ticks, 60 * 10_000)
    return (
        IFDRational(minutes // 60, 1),
        IFDRational(minutes % 60, 1),
        IFDRational(rest, 10_000),
    )
