"""The composition root: settings in, working parts out. The only place that opens engines."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from geosearch.addresses import AllowedAddresses
from geosearch.catalogue.audit import Audit
from geosearch.catalogue.intake import Intake
from geosearch.catalogue.leases import Leases, Runs
from geosearch.catalogue.locating import LocateLeases, LocateRuns
from geosearch.catalogue.pace import Pace, pace
from geosearch.catalogue.repository import Catalogue
from geosearch.catalogue.session import migrate, open_engine
from geosearch.closing import Closing
from geosearch.errors import ConfigError, StoreError
from geosearch.home import Home
from geosearch.settings import Settings
from geosearch.store.base import VectorStore
from geosearch.store.inventory import StoredCollection, local_collections

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from geosearch.catalogue.lmm_ledger import LmmLedger
    from geosearch.encoder.embedder import Embedder
    from geosearch.encoder.gallery import GpsGallery
    from geosearch.ingest.parts import PhotoEncoder
    from geosearch.ingest.pipeline import Pipeline
    from geosearch.ingest.reader import ReadLimits
    from geosearch.ingest.reconcile import Reconciler
    from geosearch.lmm.calls import ModelClient
    from geosearch.lmm.config import LmmConfig
    from geosearch.localization.reranker import Reranker
    from geosearch.places import Gazetteer

NO_LMM = (
    "no large multimodal model is configured; set GEOSEARCH_LMM_CONFIG to a LiteLLM config.yaml, "
    "see docs/lmm.md"
)


class Services(Closing):
    """Parts of one process, each opened when first asked for and all closed together.

    Args:
        settings: which engines, where, which encoder.
        load_embedder: makes the encoder; tests put a small one here.
    """

    def __init__(
        self, settings: Settings, *, load_embedder: Callable[[Settings], Embedder] | None = None
    ) -> None:
        self.settings = settings
        self._load_embedder = load_embedder or _load_embedder
        self._open = ExitStack()

    def close(self) -> None:
        """Close everything that was opened, in reverse order; harmless when called twice."""
        self._open.close()

    @cached_property
    def home(self) -> Home:
        """The directory of the embedded engines, held from now on."""
        home = Home(self.settings.home)
        self._open.callback(home.close)
        return home

    @cached_property
    def _engine(self) -> Engine:
        url = self.settings.database_url
        if url is None:
            from geosearch.catalogue.embedded import EmbeddedPostgres

            postgres = EmbeddedPostgres(self.home.postgres)
            self._open.callback(postgres.close)
            address = postgres.url
        else:
            address = url.get_secret_value()
        engine = open_engine(address)
        self._open.callback(engine.dispose)
        return engine

    @property
    def engine(self) -> Engine:
        """The connections to PostgreSQL, for what works on all tables at once."""
        return self._engine

    def migrate(self) -> tuple[str | None, str]:
        """Bring the catalogue's tables up to date; the revision before and after."""
        return migrate(self._engine)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The record; the embedded one is migrated by itself, a server by `geosearch migrate`."""
        if self.settings.database_url is None:
            self.migrate()
        return Catalogue(self._engine)

    @cached_property
    def intake(self) -> Intake:
        """The list of sources that wait to be read."""
        if self.settings.database_url is None:
            self.migrate()
        return Intake(self._engine)

    @cached_property
    def runs(self) -> Runs:
        """Runs that workers take in: their counts and their ends."""
        return Runs(self._engine)

    def leases(self, owner: str) -> Leases:
        """What a worker by this name reads, and keeps others from reading."""
        return Leases(self._engine, owner=owner, lease_s=self.settings.lease_s)

    @cached_property
    def locate_runs(self) -> LocateRuns:
        """Photos that workers locate, and their answers."""
        return LocateRuns(self._engine)

    def locate_leases(self, owner: str) -> LocateLeases:
        """What a worker by this name locates, and keeps others from locating."""
        return LocateLeases(self._engine, owner=owner, lease_s=self.settings.lease_s)

    @property
    def encoder_name(self) -> str:
        """What the settings call the encoder, for telling encoders apart without loading one."""
        from geosearch.encoder.registry import Registry

        heads = Registry(self.settings.home).active_name()
        return self.settings.encoder if heads is None else f"{self.settings.encoder} {heads}"

    @cached_property
    def embedder(self) -> Embedder:
        """The encoder, its weights loaded."""
        return self._load_embedder(self.settings)

    @cached_property
    def store(self) -> VectorStore:
        """The index of the encoder: one collection for each encoder identity."""
        identity = self.embedder.identity
        name = f"geosearch-{identity.short}"
        store: VectorStore
        if self.settings.qdrant_url is None:
            from geosearch.store.edge import EdgeStore

            store = EdgeStore(
                self.home.qdrant / name, dim=self.embedder.dim, identity=str(identity)
            )
        else:
            from geosearch.store.server import ServerStore, connect

            key = self.settings.qdrant_api_key
            client = connect(
                self.settings.qdrant_url, api_key=None if key is None else key.get_secret_value()
            )
            store = ServerStore(client, name, dim=self.embedder.dim, identity=str(identity))
        self._open.callback(store.close)
        return store

    @cached_property
    def audit(self) -> Audit:
        """The record as comparing it with the index needs it."""
        if self.settings.database_url is None:
            self.migrate()
        return Audit(self._engine)

    @property
    def reconciler(self) -> Reconciler:
        """What compares record and index of the encoder in use."""
        from geosearch.ingest.reconcile import Reconciler

        return Reconciler(
            self.catalogue, self.audit, self.store, encoder=str(self.embedder.identity)
        )

    def collections(self) -> list[StoredCollection]:
        """Every collection of ours, whichever encoder it belongs to."""
        if self.settings.qdrant_url is None:
            return local_collections(self.home.qdrant)
        from geosearch.store.server import connect, server_collections

        key = self.settings.qdrant_api_key
        client = connect(
            self.settings.qdrant_url, api_key=None if key is None else key.get_secret_value()
        )
        try:
            return server_collections(client)
        finally:
            client.close()

    def open_collection(self, collection: StoredCollection) -> VectorStore:
        """The vectors of a collection, made if there is none; closed by the caller.

        Raises:
            StoreError: the collection does not say whose it is.
        """
        if collection.identity is None or collection.dim is None:
            raise StoreError(f"{collection.name} does not say which encoder it belongs to")
        dim, identity = collection.dim, collection.identity
        if self.settings.qdrant_url is None:
            from geosearch.store.edge import EdgeStore

            return EdgeStore(self.home.qdrant / collection.name, dim=dim, identity=identity)
        from geosearch.store.server import ServerStore, connect

        key = self.settings.qdrant_api_key
        client = connect(
            self.settings.qdrant_url, api_key=None if key is None else key.get_secret_value()
        )
        return ServerStore(client, collection.name, dim=dim, identity=identity)

    def pace(self) -> Pace:
        """What is left to take in, and how fast it goes."""
        return pace(self._engine)

    @cached_property
    def gazetteer(self) -> Gazetteer:
        """Names of places, offline."""
        from geosearch.places import Gazetteer

        return Gazetteer()

    @cached_property
    def gps_gallery(self) -> GpsGallery | None:
        """Coordinates to propose by the location block; None for an encoder without that space.

        GeoCLIP's gallery and the places of the catalogue as they are when this is first asked for.
        Each coordinate is embedded once for each encoder, then read from `HOME/galleries`.
        """
        if not self.embedder.has_location_space:
            return None
        import numpy as np

        from geosearch.encoder import gallery

        cells = self.catalogue.occupied_cells(gallery.CELL_DEG)
        own = gallery.cell_centers([(row, column) for row, column, _ in cells])
        places = np.concatenate([gallery.reference_coordinates(), own])
        if not len(places):
            return None
        return gallery.open_gallery(self.settings.home / "galleries", self.embedder, places)

    @cached_property
    def reranker(self) -> Reranker | None:
        """The re-ranker trained for the encoder in use; None where none is.

        Raises:
            ConfigError: the one in the home is of another encoder or version.
            InvalidInput: it is damaged.
        """
        from geosearch.localization.reranker import load_reranker, reranker_path

        identity = self.embedder.identity
        return load_reranker(reranker_path(self.settings.home, identity), encoder=str(identity))

    @cached_property
    def lmm_config(self) -> LmmConfig | None:
        """The models of GEOSEARCH_LMM_CONFIG; None where it is not set.

        Raises:
            ConfigError: the file cannot be used; the message names its line.
        """
        if self.settings.lmm_config is None:
            return None
        from geosearch.lmm.config import load_config

        return load_config(self.settings.lmm_config)

    @cached_property
    def lmm_client(self) -> ModelClient:
        """What calls those models.

        Raises:
            ConfigError: GEOSEARCH_LMM_CONFIG is not set.
        """
        from geosearch.lmm.client import LiteLlmClient

        if self.lmm_config is None:
            raise ConfigError(NO_LMM)
        return LiteLlmClient(self.lmm_config)

    @cached_property
    def lmm_ledger(self) -> LmmLedger:
        """The record of calls, their cost and their answers."""
        from geosearch.catalogue.lmm_ledger import LmmLedger

        if self.settings.database_url is None:
            self.migrate()
        return LmmLedger(self._engine)

    @cached_property
    def pipeline(self) -> Pipeline:
        """What takes photos in."""
        return self.pipeline_of(self.embedder)

    def pipeline_of(self, encoder: PhotoEncoder, **options: int | bool) -> Pipeline:
        """A pipeline around an encoder that is this one's or wraps it.

        `options` win over those that come from the settings.
        """
        from geosearch.ingest.parts import PipelineOptions
        from geosearch.ingest.pipeline import Pipeline

        settings = self.settings
        defaults = PipelineOptions(
            threads=settings.decode_threads or os.cpu_count() or 1,
            batch_size=settings.batch_size,
            limits=self.read_limits,
        )
        return Pipeline(
            self.catalogue,
            self.store,
            encoder,
            identity=str(self.embedder.identity),
            places=self.gazetteer.lookup,
            options=replace(defaults, **options),  # type: ignore[arg-type]  # checked by name
        )

    @property
    def read_limits(self) -> ReadLimits:
        """How much a source may take, and where it may be."""
        from geosearch.ingest.reader import ReadLimits

        settings = self.settings
        return ReadLimits(
            max_bytes=settings.max_file_mb * 1_000_000,
            url_timeout_s=settings.url_timeout_s,
            allowed=AllowedAddresses.parse(settings.url_allow or ""),
        )


def _load_embedder(settings: Settings) -> Embedder:
    from geosearch.encoder.device import device_or_cpu
    from geosearch.encoder.embedder import load_embedder
    from geosearch.encoder.registry import Registry

    return load_embedder(
        settings.encoder,
        checkpoint=Registry(settings.home).active(),
        device=device_or_cpu(settings.device) if settings.cpu_fallback else settings.device,
        dtype=settings.dtype,
        max_pixels=settings.max_pixels,
    )
