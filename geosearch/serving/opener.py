"""Loading encoders and opening their indexes, and which of them that is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from geosearch.catalogue.indexes import Indexes
from geosearch.errors import IdentityMismatch
from geosearch.records import EncoderChoice, IndexRecord, IndexState
from geosearch.serving.opened import Cells, OpenIndex
from geosearch.settings import Settings
from geosearch.store.base import VectorStore
from geosearch.store.inventory import PREFIX

if TYPE_CHECKING:
    from geosearch.encoder.embedder import Embedder
    from geosearch.encoder.identity import EncoderIdentity

logger = logging.getLogger(__name__)


class OpenStore(Protocol):
    """Whatever can open a collection."""

    def __call__(self, name: str, dim: int, identity: str, *, may_fold: bool) -> VectorStore:
        """The collection by its name, made if there is none.

        Args:
            name: of the collection.
            dim: the length of the encoder's vectors.
            identity: of that encoder.
            may_fold: whether it gives nothing but vectors of three alike blocks.
        """


class IndexOpener:
    """Opens indexes, each with its encoder.

    Args:
        settings: which encoder is asked for, and where.
        indexes: gives the list of indexes.
        load_embedder: loads the encoder that settings name.
        open_store: opens a collection.
        occupied_cells: cells of the catalogue with a photo, given their size in degrees.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        indexes: Callable[[], Indexes],
        load_embedder: Callable[[Settings], Embedder],
        open_store: OpenStore,
        occupied_cells: Cells,
    ) -> None:
        self._settings = settings
        self._indexes = indexes
        self._load_embedder = load_embedder
        self._open_store = open_store
        self._occupied_cells = occupied_cells

    @property
    def wanted(self) -> EncoderChoice:
        """The encoder that settings and `geosearch encoders activate` ask for.

        Searches use it once `geosearch reindex` has filled its index.
        """
        from geosearch.encoder.registry import Registry

        heads = self._settings.heads
        if heads is None:
            heads = Registry(self._settings.home).active_name()
        return EncoderChoice(self._settings.encoder, None if heads == "none" else heads)

    def load(self, choice: EncoderChoice) -> Embedder:
        """An encoder, its weights loaded."""
        wanted = {"encoder": choice.backbone, "heads": choice.heads or "none"}
        return self._load_embedder(self._settings.model_copy(update=wanted))

    def open_active(self, active: IndexRecord | None) -> OpenIndex:
        """The index in use; that of the wanted encoder where none is, or none with photos in it.

        Raises:
            IdentityMismatch: the encoder that filled it is not to be had any more.
        """
        wanted = self.wanted
        if active is None or (active.choice != wanted and self._indexes().is_empty(active.encoder)):
            embedder = self.load(wanted)
            active = self._indexes().claim(index_record(embedder.identity, wanted))
            if active.encoder == str(embedder.identity):
                index = self.open(active, embedder)
                index.store.take_alias()
                return index
        choice = active.choice or wanted
        if choice != wanted:
            logger.warning(
                "searches use the index of %s; %s is chosen and gets its own by: geosearch reindex",
                choice,
                wanted,
            )
        embedder = self.load(choice)
        if str(embedder.identity) != active.encoder:
            raise IdentityMismatch(
                f"the index in use is of {active.encoder}, and {choice} gives {embedder.identity} "
                "now; run geosearch reindex to fill an index for it, or install what made the "
                "old one"
            )
        return self.open(active, embedder)

    def open(self, record: IndexRecord, embedder: Embedder) -> OpenIndex:
        """An index with its encoder, made if there is none; closed by the caller."""
        store = self._open_store(
            record.collection, embedder.dim, record.encoder, may_fold=embedder.has_alike_blocks
        )
        return OpenIndex(
            record,
            embedder,
            store,
            home=self._settings.home,
            occupied_cells=self._occupied_cells,
        )


def index_record(identity: EncoderIdentity, choice: EncoderChoice) -> IndexRecord:
    """The index of an encoder before anything is known of it."""
    return IndexRecord(str(identity), f"{PREFIX}{identity.short}", IndexState.FILLING, choice)
