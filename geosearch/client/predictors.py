"""Predictors for each filter and wish, over one set of locators and models of an installation."""

from __future__ import annotations

from geosearch.client.locating import Locators
from geosearch.client.prediction import Predictor
from geosearch.client.reasoning import Reasoners
from geosearch.client.wishes import LmmWishes
from geosearch.services import Services
from geosearch.serving.opened import OpenIndex
from geosearch.store.filters import Filter


class Predictors:
    """Makes predictors, whose locators and advisers are kept; safe for threads."""

    def __init__(self, services: Services) -> None:
        self._locators = Locators(services)
        self._reasoners = Reasoners(services)

    def close(self) -> None:
        """End what asks models."""
        self._reasoners.close()

    def check(self, wishes: LmmWishes) -> None:
        """Raise ConfigError unless a model can be asked as is wished."""
        self._reasoners.of(wishes)

    def of(self, index: OpenIndex, where: Filter | None, wishes: LmmWishes) -> Predictor:
        """What predicts by an index, from the photos of it that match.

        Raises:
            ConfigError: a model cannot be asked as is wished.
        """
        adviser = self._reasoners.of(wishes)
        return Predictor(
            index.embedder,
            self._locators.locator(index, where),
            adviser,
            area=None if adviser is None else self._reasoners.area(where),
            hint=wishes.hint,
        )
