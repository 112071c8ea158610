"""What is asked: photos with their true coordinates, from public benchmarks and manifests.

Not called `benchmarks`: that name belongs to `geosearch/benchmarks`, which measures time and
memory of this installation; here are data sets that measure how right its answers are.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geosearch.errors import ConfigError, InvalidInput
from geosearch.evaluation.labels import LabelRow, author_of, read_labels
from geosearch.geo import Coordinate
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.sources import SUFFIXES, BadSource, PhotoSource

PUBLIC = {"im2gps": 237, "im2gps3k": 2997, "yfcc4k": 4536, "yfcc26k": 25_600}
"""Public benchmarks and how many labelled photos each is published with.

IM2GPS: Hays and Efros (2008), CVPR. IM2GPS3k and YFCC4k: Vo, Jacobs and Hays (2017), ICCV; three of
IM2GPS3k's 3,000 images have no label in the table that everyone uses. YFCC26k:
`yfcc25600_places365.csv` of the release "pytorch" of GeoEstimation (Müller-Budack et al., 2018).
"""

SPOT_DEG = 0.01
"""Photos without author and place are grouped by cells of this size, about 1 km."""

_FLICKR_KEY = re.compile(r"\d+_[0-9a-f]+_\d+_\d+@N\d\d")


@dataclass(frozen=True, slots=True)
class Query:
    """A photo to locate, and where it was really taken.

    Args:
        id: its name in the label file.
        coordinate: the truth.
        image: the file; None when the photo is asked by features.
        rows: rows of the features that it is made of.
        author: the photographer.
        place: the name of the place; photos of one place are near copies of each other.
        look_alikes: where else the landmark in view stands (`twins`).
    """

    id: str
    coordinate: Coordinate
    image: Path | None = None
    rows: tuple[int, ...] = ()
    author: str | None = None
    place: str | None = None
    look_alikes: tuple[Coordinate, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Photos to ask, and what could not be asked.

    Args:
        name: of the benchmark.
        queries: photos that are there.
        missing: ids of labelled photos whose image was not found.
        notes: what a reader of the report has to know, one sentence each.
    """

    name: str
    queries: tuple[Query, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def labelled(self) -> int:
        """All labelled photos, found or not."""
        return len(self.queries) + len(self.missing)

    @property
    def grouping(self) -> str:
        """What intervals are drawn by: `photographer`, `place` or `spot` of about 1 km.

        The first of them that every photo has and that differs at all.
        """
        if _differ([query.author for query in self.queries]):
            return "photographer"
        return "place" if _differ([query.place for query in self.queries]) else "spot"

    def groups(self) -> list[str]:
        """The group of each query, as `grouping` says."""
        match self.grouping:
            case "photographer":
                return [str(query.author) for query in self.queries]
            case "place":
                return [str(query.place) for query in self.queries]
            case _:
                return [_spot(query.coordinate) for query in self.queries]

    def limited(self, limit: int | None) -> Dataset:
        """The first `limit` queries, spread over the data set, with a note; all for None."""
        if limit is None or limit >= len(self.queries):
            return self
        chosen = [self.queries[at * len(self.queries) // limit] for at in range(limit)]
        note = f"only {limit} of {len(self.queries)} photos were asked (--limit), evenly spaced"
        return replace(self, queries=tuple(chosen), notes=(*self.notes, note))


def load_public(name: str, *, labels: Path, images: Path) -> Dataset:
    """A public benchmark: its label file, and its images anywhere below a folder.

    Raises:
        ConfigError: the benchmark is unknown, or there is no such folder.
        InvalidInput: the label file is not one, a label is out of range (its row is named), or no
            image at all was found.
    """
    if name not in PUBLIC:
        raise ConfigError(f"{name!r} is no benchmark; choose from {', '.join(PUBLIC)}")
    table = read_labels(labels)
    notes = list(table.notes)
    if len(table.rows) != PUBLIC[name]:
        notes.append(
            f"{labels.name} has {len(table.rows)} labels; {name} is published with {PUBLIC[name]}"
        )
    files = ImageFolder(images)
    queries: list[Query] = []
    missing: list[str] = []
    for row in table.rows:
        image = files.find(row.id)
        if image is None:
            missing.append(row.id)
        else:
            queries.append(_query(row, image))
    return _checked(Dataset(name, tuple(queries), tuple(missing), tuple(notes)), images)


def load_manifest(path: Path, *, images: Path | None = None, name: str = "manifest") -> Dataset:
    """Any manifest of ours; columns `place` or `city` name the place, `author` the photographer.

    Args:
        path: as for `ingest`.
        images: where files are looked for by name that do not lie where the manifest says.
        name: of the data set.

    Raises:
        InvalidManifest: the manifest as a whole cannot be used.
        InvalidInput: a row has no usable label (it is named), or no image at all was found.
    """
    files = None if images is None else ImageFolder(images)
    queries: list[Query] = []
    missing: list[str] = []
    unlabelled = 0
    for source in read_manifest(path):
        if isinstance(source, BadSource):
            raise InvalidInput(source.reason)
        where = source.claims.coordinate
        if where is None:
            unlabelled += 1
            continue
        image = _manifest_image(source, files)
        if image is None:
            missing.append(source.uri)
            continue
        attributes = source.claims.attributes
        place = attributes.get("place") or attributes.get("city")
        queries.append(
            Query(
                id=source.uri,
                coordinate=where,
                image=image,
                author=author_of(image.name, source.claims.author),
                place=None if place is None else str(place),
            )
        )
    notes = [f"{unlabelled} rows of {path.name} have no label"] if unlabelled else []
    return _checked(Dataset(name, tuple(queries), tuple(missing), tuple(notes)), images or path)


class ImageFolder:
    """The images below a folder, by the names that label files use for them.

    A photo is found by its path in the folder, its name, its name without ending, or its Flickr
    name: the images of IM2GPS are published as `Rome_00024_231521295_….jpg` and labelled without
    that prefix, or the other way round.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; give the one that holds the images")
        self._folder = folder
        self._by_key: dict[str, list[Path]] = {}
        for path in _images_below(folder):
            for key in dict.fromkeys((path.name, path.stem, _flickr_key(path.name))):
                if key is not None:
                    self._by_key.setdefault(key, []).append(path)

    def find(self, photo: str) -> Path | None:
        """The file of a photo, None when it is not there.

        Raises:
            InvalidInput: several files could be it.
        """
        exact = self._folder / photo
        if exact.is_file():
            return exact
        name = photo.rsplit("/", 1)[-1]
        for key in (name, Path(name).stem, _flickr_key(name)):
            paths = self._by_key.get(key, []) if key is not None else []
            if len(paths) > 1:
                raise InvalidInput(
                    f"{photo} could be {paths[0]} or {paths[1]}; keep each photo once below "
                    f"{self._folder}"
                )
            if paths:
                return paths[0]
        return None


def _images_below(folder: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES:
                yield Path(directory) / name


def _flickr_key(name: str) -> str | None:
    match = _FLICKR_KEY.search(name)
    return None if match is None else match[0]


def _query(row: LabelRow, image: Path) -> Query:
    return Query(row.id, row.coordinate, image, author=row.author)


def _manifest_image(source: PhotoSource, files: ImageFolder | None) -> Path | None:
    """The file of a row; a URL is never fetched and counts as missing."""
    if source.path is not None and source.path.is_file():
        return source.path
    if files is None or source.path is None:
        return None
    return files.find(source.path.name)


def _checked(dataset: Dataset, folder: Path) -> Dataset:
    """The data set, with a note on missing images.

    Raises:
        InvalidInput: there is nothing to ask.
    """
    if not dataset.labelled:
        raise InvalidInput(f"{dataset.name}: there is no labelled photo in {folder}")
    if not dataset.queries:
        raise InvalidInput(
            f"{dataset.name}: none of the {dataset.labelled} labelled photos is in {folder} "
            f"(the first is {dataset.missing[0]})"
        )
    if not dataset.missing:
        return dataset
    note = (
        f"{len(dataset.missing)} of {dataset.labelled} labelled photos have no image and were not "
        f"asked; percentages are of the {len(dataset.queries)} that were"
    )
    return replace(dataset, notes=(*dataset.notes, note))


def _differ(names: Sequence[str | None]) -> bool:
    counts = Counter(names)
    return None not in counts and len(counts) > 1


def _spot(coordinate: Coordinate) -> str:
    return f"{round(coordinate.lat / SPOT_DEG)},{round(coordinate.lon / SPOT_DEG)}"
