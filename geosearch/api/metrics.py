"""What the server did, in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Metrics:
    """Counts of one application; `in_flight` is how many requests are being answered now."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, int]] = Counter()

    def count(self, method: str, status: int) -> None:
        """Count an answer."""
        known = method if method in ("GET", "HEAD", "POST", "PATCH", "DELETE") else "other"
        with self._lock:
            self._answers[known, status] += 1

    def exposition(self, photos: Mapping[str, int]) -> str:
        """The text of /metrics; `photos` are counts by state."""
        with self._lock:
            answers = sorted(self._answers.items())
        lines = [
            "# HELP geosearch_http_requests_total Answers by method and status.",
            "# TYPE geosearch_http_requests_total counter",
            *(
                f'geosearch_http_requests_total{{method="{method}",status="{status}"}} {count}'
                for (method, status), count in answers
            ),
            "# HELP geosearch_http_in_flight Requests being answered now.",
            "# TYPE geosearch_http_in_flight gauge",
            f"geosearch_http_in_flight {self.in_flight}",
            "# HELP geosearch_photos Photos by state.",
            "# TYPE geosearch_photos gauge",
            *(f'geosearch_photos{{state="{state}"}} {n}' for state, n in sorted(photos.items())),
        ]
        return "\n".join(lines) + "\n"
