"""An encoder and the index of its vectors, opened together, with what is made for both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from geosearch.records import IndexRecord
from geosearch.store.base import VectorStore

if TYPE_CHECKING:
    from geosearch.encoder.embedder import Embedder
    from geosearch.encoder.gallery import GpsGallery
    from geosearch.localization.reranker import Reranker

Cells = Callable[[float], list[tuple[int, int, int]]]


class OpenIndex:
    """What answers a query: nothing in it is ever of another encoder.

    Args:
        record: the index as the catalogue has it.
        embedder: makes the vectors of queries and photos.
        store: the vectors.
        home: where the gallery of coordinates and the re-ranker lie.
        occupied_cells: cells of the catalogue with a photo, given their size in degrees.
    """

    def __init__(
        self,
        record: IndexRecord,
        embedder: Embedder,
        store: VectorStore,
        *,
        home: Path,
        occupied_cells: Cells,
    ) -> None:
        self.record = record
        self.embedder = embedder
        self.store = store
        self._home = home
        self._occupied_cells = occupied_cells
        self._lock = threading.RLock()
        self._gallery: tuple[GpsGallery | None] | None = None
        self._reranker: tuple[Reranker | None] | None = None

    @property
    def identity(self) -> str:
        """The encoder identity that all of it belongs to."""
        return self.record.encoder

    @property
    def gps_gallery(self) -> GpsGallery | None:
        """Coordinates to propose by the location block; None for an encoder without that space.

        GeoCLIP's gallery and the places of the catalogue as they are when this is first asked for.
        Each coordinate is embedded once for each encoder, then read from `HOME/galleries`.
        """
        with self._lock:
            if self._gallery is None:
                self._gallery = (self._open_gallery(),)
            return self._gallery[0]

    def _open_gallery(self) -> GpsGallery | None:
        if not self.embedder.has_location_space:
            return None
        import numpy as np

        from geosearch.encoder import gallery

        cells = self._occupied_cells(gallery.CELL_DEG)
        own = gallery.cell_centers([(row, column) for row, column, _ in cells])
        places = np.concatenate([gallery.reference_coordinates(), own])
        if not len(places):
            return None
        return gallery.open_gallery(self._home / "galleries", self.embedder, places)

    @property
    def reranker(self) -> Reranker | None:
        """The re-ranker trained for this encoder; None where none is.

        Raises:
            ConfigError: the one in the home is of another encoder or version.
            InvalidInput: it is damaged.
        """
        from geosearch.localization.reranker import load_reranker, reranker_path

        with self._lock:
            if self._reranker is None:
                path = reranker_path(self._home, self.embedder.identity)
                self._reranker = (load_reranker(path, encoder=self.identity),)
            return self._reranker[0]

    def forget_reranker(self) -> None:
        """Have the re-ranker read again, because a new one was written."""
        with self._lock:
            self._reranker = None

    def close(self) -> None:
        """Close the vectors; the encoder goes with the last reference to it."""
        self.store.close()
