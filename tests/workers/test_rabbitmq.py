"""An ingest through a real RabbitMQ, which AMQP_URL names (no server comes from a package index).

With Debian's: `apt-get install rabbitmq-server`, start it, `AMQP_URL=amqp://guest:guest@127.0.0.1`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu.exceptions import ChannelError
from support.cluster import PHOTOS, Cluster, assert_in_order, wait_for
from support.qdrant_server import QdrantServer

from geosearch.client import photo_sources
from workers.app import QUEUES, create_app
from workers.broker import open_broker
from workers.producer import Producer


@pytest.fixture
def rabbitmq(database_url: str, qdrant: QdrantServer, tmp_path: Path) -> Iterator[Cluster]:
    url = os.environ.get("AMQP_URL")
    if url is None:
        pytest.skip("AMQP_URL names no RabbitMQ to test against")
    with create_app(url).connection_for_write() as connection:
        for queue in QUEUES:
            try:
                connection.channel().queue_purge(queue)
            except ChannelError:
                pass  # it was never made
    cluster = Cluster(database_url, qdrant, url, tmp_path)
    yield cluster
    cluster.close()


def test_rabbitmq_carries_an_ingest_whose_worker_is_killed(
    rabbitmq: Cluster, draw: Callable[[Path, int], None]
) -> None:
    draw(rabbitmq.folder, PHOTOS)
    services = rabbitmq.services()
    broker = open_broker(services.settings)
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
    broker.close()
