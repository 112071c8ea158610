"""How long to wait before a failed call is repeated."""

from __future__ import annotations

import random

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


def wait_s(
    failures: int, retry_after_s: float | None, *, least_s: float, generator: random.Random
) -> float:
    """Seconds to wait after so many failures (1 or more): what the provider asks, or longer.

    Doubles with each failure; half of it is by chance, so that many callers do not come back at
    the same moment.
    """
    step = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 10))
    chosen = max(least_s, step * (0.5 + 0.5 * generator.random()))
    if retry_after_s is None:
        return chosen
    return retry_after_s + 0.1 * chosen
