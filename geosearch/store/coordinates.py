"""Counting what lies in a circle without the engine: the coordinates of all points, in memory.

Unit vectors and how they stay in step with a store that is written while they are read. No engine
is known here; `edge/` says how coordinates are read and tells of every write.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.areas import TOLERANCE_KM, Circle
from geosearch.errors import StoreError
from geosearch.geo import EARTH_RADIUS_KM, HALF_EARTH_KM, Coordinate, unit_vectors

logger = logging.getLogger(__name__)

SMALLEST_KM = 0.1
"""Smaller circles, and those that leave out less of the Earth, are left to the engine.

The cosine of such an angle tells 1 mm (`TOLERANCE_KM`) no more; at 100 m it tells 0.2 mm.
"""

LAZY_COUNTS = 16
"""Circles that the engine counts first, so that a command with few searches never reads all points.

Reading 50,000 takes half a second, or 20 where searches follow each other without a pause;
those took as long as ever (within 1,000 km p50 1.15 ms and 1.11 without it, the longest 25 ms).
"""

_ROWS_AT_ONCE = 65_536
"""Rows of one product with which OpenBLAS wakes no other thread (see `geo.squared_chords`).

1,000,000 rows in one piece take 16 ms with OpenBLAS on two busy cores, in slices 3 ms.
"""

_MANY_REMOVED = 1000
_REMOVED_SHARE = 0.25
"""A table with more removed rows than that, and than this share of those added, is read anew."""

_FEW_NEW = 4096
_NEW_SHARE = 0.25
"""More new points than that, and than this share of those in order, are put in order, too."""

_ROUNDING = 1e-9
"""Sines of latitudes that differ by less are taken for the same, which leaves no point out."""

_FIRST_ID = UUID(int=0)


class CoordinateTable:
    """Points as unit vectors: those that were added, and those of them that were removed since.

    One thread changes it while others count; each count sees all of a change or nothing of it. A
    removed point is a row of its own that counts -1, so that no row is ever looked for; the engine
    may give a coordinate back one bit off (1 nm), which a tolerance of 1 mm takes no notice of.
    Most points lie in order of latitude, so that a small circle looks at few; the newest follow in
    no order. 32 bytes a row, up to twice that where it grows.
    """

    def __init__(self) -> None:
        self._bands = _Bands(_Rows().filled)
        self._added, self._removed = _Rows(), _Rows()
        self._counted = (self._bands, self._added.filled, self._removed.filled)

    def change(self, *, added: Collection[Coordinate], removed: Collection[Coordinate]) -> None:
        """Add points and remove others, of which each was added before."""
        self._added.extend(added)
        self._removed.extend(removed)
        self._counted = (self._bands, self._added.filled, self._removed.filled)
        if len(self._added.filled) > max(_FEW_NEW, _NEW_SHARE * len(self._bands.rows)):
            self.sort()

    def sort(self) -> None:
        """Put all points in order of latitude."""
        self._bands = _Bands(np.concatenate([self._bands.rows, self._added.filled]))
        self._added = _Rows()
        self._counted = (self._bands, self._added.filled, self._removed.filled)

    def count(self, circle: Circle) -> int:
        """How many points lie in the circle, `TOLERANCE_KM` around it included."""
        lat_rad, lon_rad = math.radians(circle.center.lat), math.radians(circle.center.lon)
        across = math.cos(lat_rad)
        center = np.array(  # as `unit_vectors` has it, which takes ten times as long for one
            [across * math.cos(lon_rad), across * math.sin(lon_rad), math.sin(lat_rad)]
        )
        angle_rad = (circle.radius_km + TOLERANCE_KM) / EARTH_RADIUS_KM
        least = math.cos(angle_rad)
        bands, added, removed = self._counted
        near = bands.between(lat_rad, angle_rad)
        return (
            _count_near(near, center, least)
            + _count_near(added, center, least)
            - _count_near(removed, center, least)
        )

    @property
    def is_worn(self) -> bool:
        """Whether so much was removed that a new table would be much smaller."""
        bands, added, removed = self._counted
        return len(removed) > max(_MANY_REMOVED, _REMOVED_SHARE * (len(bands.rows) + len(added)))


class CircleCounts:
    """Counts of points in circles, by a table that a thread of its own reads after some counts.

    Points are read in order of id, in small batches, and no write comes between a batch and the
    note of how far it went. So a write knows which of its points the table has already: those are
    changed there, the others are read later, as written. Counting waits for neither.

    Args:
        read_from: some points from an id on, in order of id, and the id to go on from, None after
            the last.
        read: the coordinates of those of some ids that the store holds.
    """

    def __init__(
        self,
        read_from: Callable[[UUID], tuple[dict[UUID, Coordinate], UUID | None]],
        read: Callable[[Collection[UUID]], dict[UUID, Coordinate]],
    ) -> None:
        self._read_from, self._read = read_from, read
        self._writing = threading.Lock()  # held while the store is written or a batch is read
        self._table: CoordinateTable | None = None
        self._unread: UUID | None = None  # the table has the points before this one; None: all
        self._whole: CoordinateTable | None = None
        self._asked = 0
        self._starting = threading.Lock()
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()

    def count(self, circle: Circle) -> int | None:
        """How many points lie in the circle; None where the engine has to be asked."""
        if not SMALLEST_KM <= circle.radius_km <= HALF_EARTH_KM - SMALLEST_KM:
            return None
        table = self._whole
        if table is not None:
            return table.count(circle)
        self._asked += 1
        if self._asked > LAZY_COUNTS:
            self._start()
        return None

    @property
    def is_whole(self) -> bool:
        """Whether the table has every point, so that counts come from it."""
        return self._whole is not None

    @contextmanager
    def changing(self, points: Mapping[UUID, Coordinate | None]) -> Iterator[None]:
        """Around a write: where the points will lie, None for those that will be gone.

        A write that fails may have been done in part; the table is dropped and read again later.

        Raises:
            StoreError: where the points lie now cannot be read; nothing is written then.
        """
        with self._writing:
            table = self._table
            known = [] if table is None else [one for one in points if self._has_read(one)]
            old = self._read(known) if known else {}
            try:
                yield
                if table is not None:
                    moved = [one for one in known if old.get(one) != points[one]]
                    table.change(
                        added=[place for one in moved if (place := points[one]) is not None],
                        removed=[old[one] for one in moved if one in old],
                    )
            except BaseException:
                self._drop()
                raise
            if table is not None and table.is_worn:
                self._drop()

    def close(self) -> None:
        """Stop reading and forget the table; harmless when called twice."""
        with self._starting:
            self._closing.set()
        if self._reader is not None:
            self._reader.join()
        with self._writing:
            self._drop()

    def _has_read(self, one: UUID) -> bool:
        return self._unread is None or one < self._unread

    def _drop(self) -> None:
        self._table = self._whole = None
        self._asked = 0

    def _start(self) -> None:
        with self._starting:
            is_reading = self._reader is not None and self._reader.is_alive()
            if not is_reading and not self._closing.is_set():
                self._reader = threading.Thread(
                    target=self._read_all, name="coordinates", daemon=True
                )
                self._reader.start()

    def _read_all(self) -> None:
        table, unread = CoordinateTable(), _FIRST_ID
        with self._writing:
            self._table, self._unread = table, unread
        while not self._closing.is_set():
            with self._writing:
                if self._table is not table:  # a write failed
                    return
                started = time.perf_counter()
                try:
                    some, following = self._read_from(unread)
                except StoreError as error:
                    logger.warning("circles are counted by the engine, which is slower: %s", error)
                    self._drop()
                    return
                table.change(added=some.values(), removed=())
                self._unread = following
                if following is None:
                    table.sort()
                    self._whole = table
                    return
            unread = following
            # Reading holds Python's lock; searches get at least every other moment.
            self._closing.wait(time.perf_counter() - started)


class _Rows:
    """Unit vectors that grow at the end; those that somebody holds already never change."""

    def __init__(self) -> None:
        self._room = np.empty((1024, 3))
        self.filled: NDArray[np.float64] = self._room[:0]

    def extend(self, coordinates: Collection[Coordinate]) -> None:
        """Add points at the end."""
        start, end = len(self.filled), len(self.filled) + len(coordinates)
        if end > len(self._room):
            room = np.empty((max(end, 2 * len(self._room)), 3))
            room[:start] = self.filled
            self._room = room
        self._room[start:end] = unit_vectors(
            [place.lat for place in coordinates], [place.lon for place in coordinates]
        )
        self.filled = self._room[:end]


class _Bands:
    """Unit vectors (n, 3) in order of latitude."""

    def __init__(self, rows: NDArray[np.float64]) -> None:
        self.rows = rows[np.argsort(rows[:, 2])]
        self._sines = self.rows[:, 2].copy()  # looked up in one piece of memory

    def between(self, lat_rad: float, angle_rad: float) -> NDArray[np.float64]:
        """Those not farther from a parallel than an angle; some more, but none less."""
        south, north = lat_rad - angle_rad, lat_rad + angle_rad
        least = math.sin(south) - _ROUNDING if south > -math.pi / 2 else -2.0
        most = math.sin(north) + _ROUNDING if north < math.pi / 2 else 2.0
        first, last = np.searchsorted(self._sines, (least, most))
        return self.rows[first:last]


def _count_near(rows: NDArray[np.float64], center: NDArray[np.float64], least: float) -> int:
    """How many of the unit vectors (n, 3) have a cosine of at least `least` with `center` (3,)."""
    near = 0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        near += int(np.count_nonzero(rows[start : start + _ROWS_AT_ONCE] @ center >= least))
    return near
