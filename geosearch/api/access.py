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
        self._known: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()

    def caller(self, secret: str) -> Caller | None:
        """The caller, None for a secret that opens nothing."""
        if self._own is not None and hmac.compare_digest(secret.encode(), self._own.encode()):
            return Caller("settings", None)
        if not secret.startswith("gs_") or len(secret) > 100:
            return None
        now = self._clock()
        with self._lock:
            at, key = self._known.get(secret, (-REMEMBERED_S, None))
        if now - at >= REMEMBERED_S:
            key = self._keys.find(secret)
            with self._lock:
                self._known[secret] = (now, key)
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return None if key is None else Caller(key.id, key)


def scope_of(method: str, path: str) -> str | None:
    """What a request needs; None for the page and for the question whether the server lives."""
    if path == "/metrics":
        return "read"
    if not path.startswith("/v1"):
        return None
    is_change = path.startswith("/v1/photos") and method not in ("GET", "HEAD", "OPTIONS")
    return "write" if is_change else "read"
