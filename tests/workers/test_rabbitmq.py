"""Ingests through a real RabbitMQ: Debian's server, started here, or the one AMQP_URL names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu.exceptions import ChannelError
from support.cluster import PHOTOS, Cluster, assert_in_order, wait_for
from support.qdrant_server import QdrantServer
from support.rabbitmq import RabbitMQ, why_none

from geosearch.client import photo_sources
from workers.app import QUEUES, create_app
from workers.broker import Broker, open_broker
from workers.producer import Producer

Draw = Callable[[Path, int], None]


@pytest.fixture(scope="session")
def own_rabbitmq() -> Iterator[RabbitMQ]:
    if (reason := why_none()) is not None:
        pytest.skip(reason)
    server = RabbitMQ(wait_for)
    yield server
    server.close()


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> str:
    """A broker whose queues are empty."""
    url = os.environ.get("AMQP_URL") or request.getfixturevalue("own_rabbitmq").url
    with create_app(url).connection_for_write() as connection:
        for queue in QUEUES:
            try:
                connection.channel().queue_purge(queue)
            except ChannelError:
                pass  # it was never made
    return str(url)


@pytest.fixture
def rabbitmq(
    database_url: str, qdrant: QdrantServer, amqp_url: str, tmp_path: Path
) -> Iterator[Cluster]:
    cluster = Cluster(database_url, qdrant, amqp_url, tmp_path)
    yield cluster
    cluster.close()


@pytest.fixture
def broker(rabbitmq: Cluster) -> Iterator[Broker]:
    broker = open_broker(rabbitmq.services().settings)
    yield broker
    broker.close()


def test_rabbitmq_carries_an_ingest_whose_worker_is_killed(
    rabbitmq: Cluster, broker: Broker, draw: Draw
) -> None:
    draw(rabbitmq.folder, PHOTOS)
    services = rabbitmq.services()
    assert broker.photos_waiting() == 0
    producer = Producer(services, broker)
    sent = producer.send(photo_sources(rabbitmq.folder), inputs={})
    assert broker.photos_waiting() >= PHOTOS
    rabbitmq.hold.touch()
    worker = rabbitmq.worker(before=PHOTOS // 3)
    wait_for(
        "some photos", lambda: services.catalogue.counts()["embedded"] > PHOTOS // 4, rabbitmq.log
    )
    worker.kill_child()
    rabbitmq.hold.unlink()
    report = producer.follow(sent.run_id)
    assert report.indexed + report.duplicates == report.scanned == PHOTOS
    assert_in_order(services, photos=PHOTOS)


def test_a_rabbitmq_that_is_killed_and_comes_back_costs_no_photo(
    own_rabbitmq: RabbitMQ, rabbitmq: Cluster, broker: Broker, draw: Draw
) -> None:
    if rabbitmq.environment["GEOSEARCH_BROKER_URL"] != own_rabbitmq.url:
        pytest.skip("the RabbitMQ that AMQP_URL names is not ours to kill")
    draw(rabbitmq.folder, PHOTOS)
    services = rabbitmq.services()
    producer = Producer(services, broker)
    rabbitmq.hold.touch()
    sent = producer.send(photo_sources(rabbitmq.folder), inputs={})
    rabbitmq.worker(before=PHOTOS // 3, shift_s=0.0)
    wait_for(
        "some photos", lambda: services.catalogue.counts()["embedded"] > PHOTOS // 4, rabbitmq.log
    )
    own_rabbitmq.kill()
    rabbitmq.hold.unlink()
    own_rabbitmq.start()
    report = producer.follow(sent.run_id)
    assert report.indexed + report.duplicates == report.scanned == PHOTOS
    assert_in_order(services, photos=PHOTOS)
