"""A store whose searches wait until they are let go, to see what was told before they end."""

from __future__ import annotations

from threading import Event

from geosearch.store.base import Hit, Match, VectorStore


class BlockedStore:
    """Stands in for `store`; says that a search was asked for, and answers when it may."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self.is_asked, self.may_answer = Event(), Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def query(self, *arguments: object, **options: object) -> list[Hit]:
        """As that of the store, once `may_answer` is set."""
        self._wait()
        return self._store.query(*arguments, **options)  # type: ignore[arg-type]

    def rank(self, *arguments: object, **options: object) -> list[Match]:
        """As that of the store, once `may_answer` is set."""
        self._wait()
        return self._store.rank(*arguments, **options)  # type: ignore[arg-type]

    def _wait(self) -> None:
        self.is_asked.set()
        assert self.may_answer.wait(60.0)
