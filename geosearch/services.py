"""The composition root: settings in, working parts out. The only place that opens engines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING

from geosearch.addresses import AllowedAddresses
from geosearch.catalogue.audit import Audit
from geosearch.catalogue.indexes import Indexes
from geosearch.catalogue.intake import Intake
from geosearch.catalogue.leases import Leases, Runs
from geosearch.catalogue.locating import LocateLeases, LocateRuns
from geosearch.catalogue.pace import Pace, pace
from geosearch.catalogue.repository import Catalogue
from geosearch.catalogue.session import migrate, open_engine
from geosearch.closing import Closing
from geosearch.errors import ConfigError
from geosearch.home import Home
from geosearch.serving.collections import Collections
from geosearch.serving.exchange import Exchange
from geosearch.serving.opened import OpenIndex
from geosearch.serving.opener import IndexOpener
from geosearch.settings import Settings
from geosearch.store.base import VectorStore

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from geosearch.catalogue.lmm_ledger import LmmLedger
    from geosearch.catalogue.lmm_observations import LmmObservations
    from geosearch.encoder.embedder import Embedder
    from geosearch.ingest.parts import Parts, PhotoEncoder
    from geosearch.ingest.pipeline import Pipeline
    from geosearch.ingest.reader import ReadLimits
    from geosearch.ingest.reconcile import Reconciler
    from geosearch.lmm.calls import ModelClient
    from geosearch.lmm.config import LmmConfig
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
        self._while_serving: dict[str, int | bool] = {}
        self._give_way: Callable[[], None] | None = None

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

    @cached_property
    def indexes(self) -> Indexes:
        """The list of indexes: whose each is, and which one is in use."""
        if self.settings.database_url is None:
            self.migrate()
        return Indexes(self._engine)

    @property
    def encoder_name(self) -> str:
        """What the encoder in use is called, for telling encoders apart without loading one."""
        active = self.indexes.active()
        chosen = None if active is None else active.choice
        return str(chosen or self.opener.wanted)

    @cached_property
    def opener(self) -> IndexOpener:
        """What loads encoders and opens their indexes."""
        return IndexOpener(
            self.settings,
            indexes=lambda: self.indexes,
            load_embedder=self._load_embedder,
            open_store=self.collections.open_for,
            occupied_cells=lambda degrees: self.catalogue.occupied_cells(degrees),
        )

    @cached_property
    def _exchange(self) -> Exchange:
        exchange = Exchange(lambda: self.indexes.active(), self.opener.open_active)
        self._open.callback(exchange.close)
        return exchange

    def borrowed_index(self, *, is_current: bool = False) -> AbstractContextManager[OpenIndex]:
        """The index in use for the time of a query; see `serving.exchange.Exchange.borrowed`."""
        if self._load_embedder is _load_embedder and not self.has_open_index:
            # It takes a second, in which PostgreSQL, asked which index is in use, can start.
            Thread(target=_import_torch, name="import-torch").start()
        return self._exchange.borrowed(is_current=is_current)

    @property
    def has_open_index(self) -> bool:
        """Whether borrowing the index opens nothing and loads no encoder."""
        return self._exchange.at_hand is not None

    def hand_over(self, index: OpenIndex, *, switch: Callable[[], bool]) -> bool:
        """Work with an index from the moment it is switched to; whether it was."""
        return self._exchange.hand_over(index, switch=switch)

    @property
    def index(self) -> OpenIndex:
        """The index in use, for who does not outlive a switch to another one."""
        return self._exchange.current

    @property
    def embedder(self) -> Embedder:
        """The encoder of the index in use."""
        return self.index.embedder

    @property
    def store(self) -> VectorStore:
        """The vectors of the index in use."""
        return self.index.store

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

    @cached_property
    def collections(self) -> Collections:
        """The collections of vectors on the engine that settings name."""
        return Collections(self.settings, lambda: self.home.qdrant)

    def pace(self) -> Pace:
        """What is left to take in, and how fast it goes."""
        return pace(self._engine)

    @cached_property
    def gazetteer(self) -> Gazetteer:
        """Names of places, offline."""
        from geosearch.places import Gazetteer

        return Gazetteer()

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
    def lmm_observations(self) -> LmmObservations:
        """What agreement with photos has taught about those models."""
        from geosearch.catalogue.lmm_observations import LmmObservations

        if self.settings.database_url is None:
            self.migrate()
        return LmmObservations(self._engine)

    @property
    def pipeline(self) -> Pipeline:
        """What takes photos into the index in use, for who does not outlive a switch."""
        return self.pipeline_of(self.index)

    def put_searches_first(self, give_way: Callable[[], None], **options: int | bool) -> None:
        """Let pipelines give way from now on (see `ingest.parts.Parts`), with these options."""
        self._give_way, self._while_serving = give_way, options

    @contextmanager
    def taking_in(self) -> Iterator[Pipeline]:
        """What takes photos into the index in use; afterwards they are in it.

        Also if another one was switched to meanwhile: what it lacks is then put into it.
        """
        with self.borrowed_index(is_current=True) as index:
            yield self.pipeline_of(index)
        self.catch_up()

    def catch_up(self) -> None:
        """Let the index in use see what was written to the one before it, if anything was."""
        from geosearch.ingest.filling import Filler

        active = self.indexes.active()
        if active is None or not self.indexes.backlog(active.encoder, limit=1):
            return
        with self.borrowed_index(is_current=True) as index:
            with Filler(self.parts_of(index), self.indexes, self.audit) as filler:
                filler.catch_up(forgets_unreadable=True)

    def pipeline_of(
        self, index: OpenIndex, encoder: PhotoEncoder | None = None, **options: int | bool
    ) -> Pipeline:
        """A pipeline into an index; `encoder` wraps the index's own.

        `options` win over those that come from the settings; `give_way` as in `ingest.parts.Parts`.
        """
        from geosearch.ingest.pipeline import Pipeline

        return Pipeline(self.parts_of(index, encoder, **options))

    def parts_of(
        self, index: OpenIndex, encoder: PhotoEncoder | None = None, **options: int | bool
    ) -> Parts:
        """What the stages of taking photos in share, for one index."""
        from geosearch.ingest.parts import Parts, PipelineOptions, at_once

        defaults = PipelineOptions(
            threads=self.settings.decode_threads or os.cpu_count() or 1,
            batch_size=self.settings.batch_size,
            limits=self.read_limits,
        )
        return Parts(
            self.catalogue,
            index.store,
            index.embedder if encoder is None else encoder,
            index.identity,
            self.gazetteer.lookup,
            # Both are checked by name.
            replace(defaults, **(self._while_serving | options)),  # type: ignore[arg-type]
            self._give_way or at_once,
        )

    @property
    def read_limits(self) -> ReadLimits:
        """How much a source may take, and where it may be."""
        from geosearch.ingest.reader import ReadLimits

        return ReadLimits(
            max_bytes=self.settings.max_file_mb * 1_000_000,
            url_timeout_s=self.settings.url_timeout_s,
            allowed=AllowedAddresses.parse(self.settings.url_allow or ""),
        )


def _import_torch() -> None:
    with suppress(ImportError):  # said to whoever needs it
        import torch  # noqa: F401


def _load_embedder(settings: Settings) -> Embedder:
    from geosearch.encoder.device import device_or_cpu
    from geosearch.encoder.embedder import load_embedder
    from geosearch.encoder.registry import Registry

    heads = settings.heads
    return load_embedder(
        settings.encoder,
        checkpoint=None if heads in (None, "none") else Registry(settings.home).get(heads),
        device=device_or_cpu(settings.device) if settings.cpu_fallback else settings.device,
        dtype=settings.dtype,
        max_pixels=settings.max_pixels,
    )
