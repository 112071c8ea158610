"""What is sent to workers, through a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.cluster import Valkey

from geosearch.errors import BrokerError
from geosearch.settings import Settings
from workers.app import EMBED, INDEX, MAINTENANCE, create_app
from workers.broker import IDS_PER_MESSAGE, Broker, open_broker


@pytest.fixture
def broker(valkey: Valkey) -> Iterator[Broker]:
    settings = Settings(
        broker_url=valkey.url, database_url="postgresql://nowhere", qdrant_url="http://nowhere"
    )
    broker = open_broker(settings)
    yield broker
    broker.close()


def test_ids_are_sent_in_messages_of_a_few_seconds_work(broker: Broker) -> None:
    assert broker.messages(EMBED) == 0
    broker.enqueue(range(2 * IDS_PER_MESSAGE + 1))
    assert broker.messages(EMBED) == 3
    assert broker.photos_waiting() == 3 * IDS_PER_MESSAGE


def test_asking_for_what_is_asked_for_already_sends_nothing(broker: Broker) -> None:
    for _ in range(3):
        broker.sweep()
        broker.settle()
    assert (broker.messages(MAINTENANCE), broker.messages(INDEX)) == (1, 1)


def test_no_message_ends_by_the_clock_of_whoever_sent_it(broker: Broker, valkey: Valkey) -> None:
    broker.sweep()
    broker.settle()
    broker.enqueue([1])
    with create_app(valkey.url).connection_for_read() as connection:
        for queue in (EMBED, INDEX, MAINTENANCE):
            message = connection.SimpleQueue(queue).get(timeout=60)
            assert (message.headers["expires"], message.headers["eta"]) == (None, None)


def test_a_sweep_is_not_waited_for_while_the_broker_is_away(broker: Broker, valkey: Valkey) -> None:
    valkey.kill()
    with pytest.raises(BrokerError, match="GEOSEARCH_BROKER_URL"):
        broker.sweep()
