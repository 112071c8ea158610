"""Sending to workers: ids of the intake in messages, and how many wait. Results never come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from geosearch.errors import BrokerError, ConfigError
from geosearch.settings import Settings
from workers.app import EMBED, INDEX, LOCATE, MAINTENANCE, create_app

IDS_PER_MESSAGE = 64
"""Photos of one message: some seconds of work, so that a lost one costs little."""

TAKE_IN, SETTLE = "geosearch.take_in", "geosearch.settle"
LOCATE_PHOTOS, SWEEP = "geosearch.locate", "geosearch.sweep"


class Broker:
    """Sends tasks by name.

    Every method raises `BrokerError` when the broker cannot be reached for about a minute.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def enqueue(self, ids: Sequence[int]) -> None:
        """Ask for these sources of the intake to be taken in; they are committed already."""
        self._send_ids(TAKE_IN, EMBED, ids)

    def locate(self, ids: Sequence[int]) -> None:
        """Ask for these photos to be located; they are committed already."""
        self._send_ids(LOCATE_PHOTOS, LOCATE, ids)

    def settle(self) -> None:
        """Ask for photos to be mended that were left between catalogue and index."""
        self._ask_once(SETTLE, INDEX)

    def sweep(self) -> None:
        """Ask for a sweep.

        Raises:
            BrokerError: the broker cannot be reached now.
        """
        self._ask_once(SWEEP, MAINTENANCE, max_retries=0)

    def messages(self, queue: str, *, max_retries: int = 10) -> int:
        """Messages that wait in a queue, without those that a worker has taken."""
        with _translated(), self._app.connection_for_read() as connection:
            connection.ensure_connection(
                max_retries=max_retries, interval_start=0.2, interval_max=3.0
            )
            try:
                declared = connection.default_channel.queue_declare(queue=queue, passive=True)
            except ChannelError:  # nobody has sent to it or listened to it yet
                return 0
            return int(declared.message_count)

    def photos_waiting(self) -> int:
        """Photos that wait to be taken in, to the nearest message."""
        return IDS_PER_MESSAGE * self.messages(EMBED)

    def _send_ids(self, name: str, queue: str, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), IDS_PER_MESSAGE):
            self._send(name, queue, args=[list(ids[start : start + IDS_PER_MESSAGE])])

    def _ask_once(self, name: str, queue: str, *, max_retries: int = 10) -> None:
        """Send, unless somebody has asked already: so they do not pile up while all are busy.

        A message's own end of life would not do: clocks of machines differ, and a worker whose
        clock is ahead throws away what the others ask for.
        """
        if self.messages(queue, max_retries=max_retries) == 0:
            self._send(name, queue, retry=max_retries > 0)

    def _send(self, name: str, queue: str, **options: Any) -> None:
        with _translated():
            self._app.send_task(name, queue=queue, ignore_result=True, **options)

    def close(self) -> None:
        """Let go of connections."""
        self._app.close()


def open_broker(settings: Settings) -> Broker:
    """The broker that the settings name.

    Raises:
        ConfigError: they name none.
    """
    if settings.broker_url is None:
        raise ConfigError(
            "GEOSEARCH_BROKER_URL is not set, and workers get their work through a broker; set it "
            "to redis://HOST:6379/0 or amqp://USER:PASSWORD@HOST"
        )
    return Broker(create_app(settings.broker_url.get_secret_value()))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, OSError) as error:
        raise BrokerError(
            f"the broker cannot be reached ({error}); check GEOSEARCH_BROKER_URL and that it runs. "
            "What is recorded stays; run the same command again"
        ) from error
