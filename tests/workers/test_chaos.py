"""Whatever dies, every photo is indexed exactly once or failed with a reason, untouched by hand.

Moments come from a seed: the encoder stops after so many photos, something is killed, and it goes
on. `CHAOS_PHOTOS` says how many photos there are.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from support.clocks import Clock, built_clock
from support.cluster import PHOTOS, Cluster, Postgres, Valkey, assert_in_order, wait_for
from support.disk import Disk
from support.qdrant_server import QdrantServer
from support.worker_process import DEFECT, POISON

from geosearch.client import photo_sources
from geosearch.records import IngestReport
from workers.broker import Broker, open_broker
from workers.lifecycle import READY
from workers.producer import Producer

Draw = Callable[[Path, int], None]

SEEDS = [1, 2, 3] if PHOTOS >= 2000 else [1]

REFUSING_S = 30.0 * PHOTOS / 2000
"""How long a store refuses: half a minute with as many photos as the full set has."""


class Ingest:
    """An ingest of a folder that workers do, and what it should come to."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.services = cluster.services()
        self.broker: Broker = open_broker(self.services.settings)
        self.producer = Producer(self.services, self.broker)
        self.run_id = 0

    def send(self) -> None:
        sources = photo_sources(self.cluster.folder)
        self.run_id = self.producer.send(sources, inputs={}).run_id

    def embedded(self) -> int:
        counts = self.services.catalogue.counts()
        return counts["embedded"] + counts["indexed"]

    def at_least(self, photos: int) -> None:
        wait_for(f"{photos} photos", lambda: self.embedded() >= photos, self.cluster.log)

    def finished(self) -> IngestReport:
        """The report once all is done, without a hand touching it."""

        def is_over() -> bool:
            last = self.services.catalogue.last_run()
            return last is not None and last["finished_at"] is not None

        wait_for("the run's end", is_over, self.cluster.log)
        return self.producer.report(self.run_id)

    def close(self) -> None:
        self.broker.close()


def _ingest(cluster: Cluster, draw: Draw) -> Ingest:
    draw(cluster.folder, PHOTOS)
    return Ingest(cluster)


@pytest.fixture
def ingest(cluster: Cluster, draw: Draw) -> Iterator[Ingest]:
    with closing(_ingest(cluster, draw)) as ingest:
        yield ingest


def _moment(seed: int) -> int:
    """After how many photos something happens: in the middle, and never at the end of a batch."""
    return random.Random(seed).randrange(PHOTOS // 8, PHOTOS // 2)


def _held(ingest: Ingest, seed: int) -> None:
    """Send, and have a worker that stops in the middle."""
    ingest.cluster.hold.touch()
    ingest.send()


def _assert_done(ingest: Ingest, *, failed: int = 0) -> None:
    report = ingest.finished()
    assert report.scanned == PHOTOS
    assert report.indexed + report.duplicates == PHOTOS - failed
    assert report.failed == len(report.errors) == failed
    assert_in_order(ingest.services, photos=PHOTOS, failed=failed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_child_is_replaced_and_loses_nothing(ingest: Ingest, seed: int) -> None:
    _held(ingest, seed)
    worker = ingest.cluster.worker(before=_moment(seed))
    ingest.at_least(_moment(seed))
    if seed == 1:  # Celery's own patience of 4 s would kill every child after the first
        ingest.cluster.hold.with_name("slow").touch()
    worker.kill_child()
    ingest.cluster.hold.unlink()
    _assert_done(ingest)
    assert ingest.cluster.log.read_text().count(READY) == 2  # the new child came up at once


def test_a_killed_worker_leaves_its_work_to_another(ingest: Ingest) -> None:
    _held(ingest, 3)
    worker = ingest.cluster.worker(before=_moment(3))
    ingest.at_least(_moment(3))
    child = worker.child()
    worker.kill()
    child.kill()
    ingest.cluster.hold.unlink()
    ingest.cluster.worker()
    _assert_done(ingest)


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_in_hand(ingest: Ingest) -> None:
    _held(ingest, 4)
    worker = ingest.cluster.worker(before=_moment(4), shift_s=0.0)
    ingest.at_least(_moment(4))
    ingest.cluster.hold.unlink()
    assert worker.terminate() == 0
    waiting = "SELECT count(*) FROM intake WHERE leased_by IS NOT NULL AND finished_at IS NULL"
    with ingest.services._engine.connect() as connection:
        assert connection.execute(text(waiting)).scalar_one() == 0
    ingest.cluster.worker()
    _assert_done(ingest)


PRODUCER = """
import os, signal, sys
from geosearch.client import photo_sources
from geosearch.services import Services
from geosearch.settings import load_settings
from workers.broker import Broker, open_broker
from workers.lifecycle import READY
from workers.producer import Producer

class Dying(Broker):
    def enqueue(self, ids, **rest):
        os.kill(os.getpid(), signal.SIGKILL)

settings = load_settings()
services = Services(settings)
broker = Dying(open_broker(settings)._app)
Producer(services, broker).send(photo_sources(sys.argv[1]), inputs={})
"""


def test_a_producer_killed_between_commit_and_message_is_finished_by_the_same_command(
    ingest: Ingest,
) -> None:
    killed = ingest.cluster.run(PRODUCER, str(ingest.cluster.folder))
    assert killed.returncode == -9, killed.stderr
    assert ingest.services.intake.counts()["waiting"] == PHOTOS
    ingest.cluster.worker()
    ingest.send()
    _assert_done(ingest)


def test_what_was_committed_and_never_sent_is_found_by_a_sweep(ingest: Ingest) -> None:
    killed = ingest.cluster.run(PRODUCER, str(ingest.cluster.folder))
    assert killed.returncode == -9, killed.stderr
    ingest.cluster.worker()
    wait_for("all photos", lambda: ingest.embedded() == PHOTOS, ingest.cluster.log)
    wait_for(
        "the last lease", lambda: not ingest.services.intake.counts()["waiting"], ingest.cluster.log
    )
    assert_in_order(ingest.services, photos=PHOTOS)


def test_a_broker_that_forgets_everything_costs_no_photo(ingest: Ingest, valkey: Valkey) -> None:
    _held(ingest, 5)
    ingest.cluster.worker(before=_moment(5), shift_s=0.0)
    ingest.at_least(_moment(5))
    valkey.kill()
    ingest.cluster.hold.unlink()
    valkey.start()
    _assert_done(ingest)


def test_a_store_that_refuses_for_a_while_fails_no_photo(
    ingest: Ingest, qdrant: QdrantServer
) -> None:
    _held(ingest, 6)
    ingest.cluster.worker(before=_moment(6))
    ingest.at_least(_moment(6))
    qdrant.refuse(True)
    ingest.cluster.hold.unlink()
    start = time.monotonic()
    wait_for("a refusal", lambda: "503" in ingest.cluster.log.read_text())
    wait_for("a while", lambda: time.monotonic() - start > REFUSING_S)
    qdrant.refuse(False)
    _assert_done(ingest)


def test_messages_that_come_twice_index_nothing_twice(ingest: Ingest) -> None:
    ingest.cluster.hold.touch()
    ingest.send()
    ids = list(range(1, PHOTOS + 1))
    for _ in range(3):
        ingest.broker.enqueue(ids)
    for _ in range(2):
        ingest.cluster.worker(before=_moment(8), shift_s=0.5)
    ingest.at_least(_moment(8))
    ingest.broker.enqueue(ids)
    ingest.cluster.hold.unlink()
    _assert_done(ingest)
    assert ingest.producer.report(ingest.run_id).indexed == PHOTOS


@contextmanager
def _postgres(directory: Path) -> Iterator[Postgres]:
    """A server of this test alone, with tables."""
    server = Postgres(directory)
    try:
        yield server
    finally:
        server.close()


def test_a_restart_of_postgresql_fails_no_photo(
    qdrant: QdrantServer, valkey: Valkey, tmp_path: Path, draw: Draw
) -> None:
    with _postgres(tmp_path / "postgres") as server:
        cluster = Cluster(server.url, qdrant, valkey.url, tmp_path)
        with closing(cluster), closing(_ingest(cluster, draw)) as ingest:
            _held(ingest, 9)
            cluster.worker(before=_moment(9))
            ingest.at_least(_moment(9))
            server.stop()
            cluster.hold.unlink()
            wait_for("a refusal", lambda: "trying again" in cluster.log.read_text(), cluster.log)
            server.start()
            _assert_done(ingest)


def test_a_photo_that_kills_its_worker_is_given_up_all_others_are_indexed_and_it_by_retry(
    ingest: Ingest,
) -> None:
    paths = sorted(ingest.cluster.folder.iterdir())
    sound = {path: path.read_bytes() for path in (paths[PHOTOS // 3], paths[PHOTOS // 2])}
    for path, comment in zip(sound, (POISON, DEFECT), strict=True):
        _add_comment(path, comment)
    ingest.cluster.worker(shift_s=60.0)
    ingest.send()
    _assert_done(ingest, failed=2)
    reasons = sorted(reason for _, reason in ingest.services.catalogue.last_errors())
    assert reasons == [
        "it ended its worker 3 times",
        "it failed 3 times: ZeroDivisionError: a defect",
    ]
    attempts = "SELECT attempts FROM intake WHERE error IS NOT NULL ORDER BY attempts"
    with ingest.services._engine.connect() as connection:
        assert [row[0] for row in connection.execute(text(attempts))] == [3, 4]
    for path, data in sound.items():
        path.write_bytes(data)
    assert ingest.producer.retry(failed=False).report.scanned == 0
    report = ingest.producer.follow(ingest.producer.retry(failed=True).run_id)
    assert (report.scanned, report.indexed, report.failed) == (2, 2, 0)
    assert_in_order(ingest.services, photos=PHOTOS)


def test_clocks_that_jump_and_differ_cost_no_photo(ingest: Ingest, tmp_path: Path) -> None:
    library = built_clock(tmp_path)
    if library is None:
        pytest.skip("there is no C compiler to build a clock that can be turned")
    jumping, late = Clock(library, tmp_path / "jumping"), Clock(library, tmp_path / "late")
    late.turned(-5.0)
    _held(ingest, 10)
    ingest.cluster.worker(before=_moment(10), clock=jumping)
    killed = ingest.cluster.worker(before=_moment(10), clock=late)
    ingest.at_least(_moment(10))
    jumping.turned(2.0)
    killed.kill_child()  # what it held is somebody's again when PostgreSQL's clock says so
    ingest.cluster.hold.unlink()
    ingest.at_least(3 * PHOTOS // 4)
    jumping.turned(-30.0)
    late.turned(12.0)
    _assert_done(ingest)
    assert _hours_logged(ingest.cluster.log) > 6.0  # five hours behind and two ahead


def _hours_logged(log: Path) -> float:
    """Between the earliest and the latest time that a worker's clock has shown."""
    times = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", log.read_text(), re.MULTILINE)
    shown = [datetime.fromisoformat(moment) for moment in times]
    return (max(shown) - min(shown)).total_seconds() / 3600.0


@pytest.fixture
def disk() -> Iterator[Disk]:
    try:
        disk = Disk(400)
    except PermissionError as error:
        pytest.skip(str(error))
    yield disk
    disk.close()


def test_a_full_disk_under_the_index_fails_no_photo(
    database_url: str, valkey: Valkey, disk: Disk, tmp_path: Path, draw: Draw
) -> None:
    with QdrantServer(disk.path / "qdrant") as qdrant:
        cluster = Cluster(database_url, qdrant, valkey.url, tmp_path)
        with closing(cluster), closing(_ingest(cluster, draw)) as ingest:
            _held(ingest, 12)
            cluster.worker(before=_moment(12))
            ingest.at_least(_moment(12))
            disk.fill()
            cluster.hold.unlink()
            wait_for("a refusal", lambda: "disk is full" in cluster.log.read_text(), cluster.log)
            disk.make_room()
            _assert_done(ingest)


def test_a_full_disk_under_postgresql_fails_no_photo(
    qdrant: QdrantServer, valkey: Valkey, disk: Disk, tmp_path: Path, draw: Draw
) -> None:
    with _postgres(disk.path / "postgres") as server:
        cluster = Cluster(server.url, qdrant, valkey.url, tmp_path)
        with closing(cluster), closing(_ingest(cluster, draw)) as ingest:
            _held(ingest, 13)
            cluster.worker(before=_moment(13))
            ingest.at_least(_moment(13))
            disk.fill()
            cluster.hold.unlink()
            wait_for("a refusal", lambda: "trying again" in cluster.log.read_text(), cluster.log)
            disk.make_room()
            if not server.is_running:  # it ends itself when its log finds no room
                server.start()
            _assert_done(ingest)


def test_a_full_disk_under_a_worker_fails_no_photo(ingest: Ingest, disk: Disk) -> None:
    _held(ingest, 14)
    cluster = ingest.cluster
    cluster.log = disk.path / "workers.log"
    cluster.environment |= {
        "GEOSEARCH_HOME": str(disk.path / "home"),
        "TMPDIR": str(disk.path),
    }
    cluster.worker(before=_moment(14))
    ingest.at_least(_moment(14))
    disk.fill()
    cluster.hold.unlink()
    _assert_done(ingest)
    assert disk.free_bytes == 0


def _add_comment(path: Path, comment: bytes) -> None:
    """Put a comment behind the start marker of a JPEG (ISO 10918-1, B.2.4.5)."""
    data = path.read_bytes()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    path.write_bytes(data[:2] + segment + data[2:])
