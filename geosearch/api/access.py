"""Who asks, and whether they may: keys of the catalogue, remembered for a few seconds."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from geosearch.catalogue.keys import ApiKey, ApiKeys

REMEMBERED_S = 5.0
"""How long a revoked key may still work."""

_MOST = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a name for counting, and a key, None for the key of the settings."""

    name: str
    key: ApiKey | None

    def allows(self, scope: str) -> bool:
        """Whether this caller may do what needs a scope."""
        return self.key is None or self.key.allows(scope)


class Access:
    """Finds the caller that a secret belongs to; blocks on the catalogue.

    Args:
        keys: those of the catalogue.
        own: the key of the settings, which may do everything.
        clock: seconds.
    """

    def __init__(
        self, keys: ApiKeys, own: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._own = own
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[str, tuple[float, ApiKey]] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()  # apart: guesses push no key out

    def is_guess(self, secret: str) -> bool:
        """Whether a secret never opened anything yet, so that looking it up may be a guess."""
        if self._is_own(secret):
            return False
        with self._lock:
            return secret not in self._found

    def caller(self, secret: str) -> Caller | None:
        """The caller, None for a secret that opens nothing."""
        if self._is_own(secret):
            return Caller("settings", None)
        if not secret.startswith("gs_") or len(secret) > 100:
            return None
        now = self._clock()
        with self._lock:
            at, key = self._found.get(secret, (-REMEMBERED_S, None))
            if now - self._refused.get(secret, -REMEMBERED_S) < REMEMBERED_S:
                return None
        if key is None or now - at >= REMEMBERED_S:
            key = self._keys.find(secret)
            self._remember(secret, key, now)
        return None if key is None else Caller(key.id, key)

    def _is_own(self, secret: str) -> bool:
        if self._own is None or not secret:
            return False
        return hmac.compare_digest(secret.encode(), self._own.encode())

    def _remember(self, secret: str, key: ApiKey | None, now: float) -> None:
        with self._lock:
            self._found.pop(secret, None)
            self._refused.pop(secret, None)
            if key is None:
                self._refused[secret] = now
            else:
                self._found[secret] = (now, key)
            for remembered in (self._found, self._refused):
                while len(remembered) > _MOST:
                    remembered.popitem(last=False)


def scope_of(method: str, path: str) -> str | None:
    """What a request needs; None for the page and for the question whether the server lives."""
    if path == "/metrics":
        return "read"
    if not path.startswith("/v1"):
        return None
    is_change = path.startswith("/v1/photos") and method not in ("GET", "HEAD", "OPTIONS")
    return "write" if is_change else "read"
