"""The models of this installation as advisers of its locator: settings and wishes put together."""

from __future__ import annotations

import threading
from typing import Any

from geosearch.client.wishes import LmmWishes
from geosearch.errors import ConfigError
from geosearch.geo import Coordinate
from geosearch.localization.reasoning import Reasoner, ReasoningSettings
from geosearch.localization.search_area import SearchArea, search_area
from geosearch.localization.trust import PRIOR
from geosearch.records import Tally
from geosearch.services import NO_LMM, Services
from geosearch.settings import Settings
from geosearch.store.filters import Filter

KNOWN = 1000.0
"""A known accuracy counts as so many answers seen."""


class Reasoners:
    """Advisers over the models of one installation, each made when first asked for.

    Safe for threads. Those without a limit of cost of their own are kept, one for each model and
    number of samples; all share what the catalogue has of their agreement with photos.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int], Reasoner] = {}
        self._limited: list[Reasoner] = []

    def of(self, wishes: LmmWishes) -> Reasoner | None:
        """What asks the model that is wished for; None if none is wanted or configured.

        Raises:
            ConfigError: none is configured although something is wished of it, or it cannot be
                asked: unknown, without a key, blind, without a price under a limit.
        """
        config = None if wishes.no_lmm else self._services.lmm_config
        if config is None:
            if wishes.has_any:
                raise ConfigError(NO_LMM)
            return None
        settings = self._services.settings
        name = config.group(wishes.model or settings.lmm_model)[0].name
        samples = wishes.samples or settings.lmm_samples
        with self._lock:
            if wishes.max_cost_usd is not None:
                made = self._made(name, samples, wishes.max_cost_usd)
                self._limited.append(made)
                return made
            found = self._kept.get((name, samples))
            if found is None:
                found = self._kept[name, samples] = self._made(name, samples, None)
            return found

    def area(self, where: Filter | None) -> SearchArea | None:
        """Where a filter limits a search to, for models to know."""
        return search_area(where, self._country_of)

    def close(self) -> None:
        """Wait for calls under way; harmless when called twice."""
        with self._lock:
            for reasoner in (*self._kept.values(), *self._limited):
                reasoner.close()
            self._kept.clear()
            self._limited.clear()

    def _made(self, name: str, samples: int, max_cost_usd: float | None) -> Reasoner:
        from geosearch.lmm.accounts import Limits
        from geosearch.lmm.asker import Asker

        services, settings = self._services, self._services.settings
        if services.lmm_config is None:
            raise ConfigError(NO_LMM)
        asker = Asker(
            services.lmm_client,
            services.lmm_config,
            services.lmm_ledger,
            limits=Limits(run_usd=max_cost_usd, month_usd=settings.lmm_monthly_budget_usd),
        )
        return Reasoner(
            asker,
            name,
            known=known_of(settings),
            observations=services.lmm_observations,
            settings=ReasoningSettings(
                samples=samples,
                positives=tuple(int(part) for part in settings.lmm_positives.split(",") if part),
                concurrency=settings.lmm_concurrency,
                limit_s=settings.lmm_timeout_s,
                edge=settings.lmm_image_edge,
                max_pixels=settings.max_pixels,
            ),
        )

    def _country_of(self, coordinate: Coordinate) -> str | None:
        place = self._services.gazetteer.lookup([coordinate])[0]
        return None if place is None else place.country


def known_of(settings: Settings) -> Tally:
    """What is known of a model's answers before anything is learned."""
    accuracy = settings.lmm_accuracy
    return PRIOR if accuracy is None else Tally(accuracy * KNOWN, KNOWN)


def conditions(services: Services, wishes: LmmWishes) -> dict[str, Any]:
    """What of an adviser must stay the same from run to run of one batch; empty for none.

    Raises:
        ConfigError: the model is unknown.
    """
    config = None if wishes.no_lmm else services.lmm_config
    if config is None:
        return {}
    from geosearch.lmm.prompts import PROMPT_VERSION

    return {
        "model": config.group(wishes.model or services.settings.lmm_model)[0].name,
        "prompt": PROMPT_VERSION,
        "samples": wishes.samples or services.settings.lmm_samples,
        "hint": wishes.hint,
    }
