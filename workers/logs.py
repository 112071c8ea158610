"""How workers write their log: for people, or one JSON object a line with run and photo ids."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

FIELDS = ("run", "photo", "photos", "task")
"""What a message may carry in `extra`."""

CHATTY = ("celery.worker.strategy", "celery.app.trace", "httpx")


class JsonLines(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Plain(logging.Formatter):
    """Words, with run and photo at the end."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        text = super().format(record)
        said = [f"{name}={getattr(record, name)}" for name in FIELDS if hasattr(record, name)]
        return f"{text} [{' '.join(said)}]" if said else text


def configure(form: Literal["text", "json"], *, level: int) -> None:
    """Log to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if form == "json" else Plain("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # They say each message and each request; a run has tens of thousands.
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
