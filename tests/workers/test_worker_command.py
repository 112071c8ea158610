"""The commands that people type, with a broker: real processes, real servers, the small encoder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from support.cluster import Cluster, Valkey, assert_in_order, wait_for

PHOTOS = 24

COMMAND = "import sys; from geosearch.cli import main; main(sys.argv[1:])"

Draw = Callable[[Path, int], None]


def test_ingest_with_a_broker_waits_for_workers_and_says_what_became_of_all(
    cluster: Cluster, draw: Draw
) -> None:
    draw(cluster.folder, PHOTOS)
    (cluster.folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    cluster.environment |= {"GEOSEARCH_LOG_FORMAT": "json", "GEOSEARCH_METRICS_PORT": "0"}

    sent = cluster.run(COMMAND, "ingest", str(cluster.folder), "--no-wait", "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["scanned"] == PHOTOS + 1
    assert json.loads(sent.stdout)["indexed"] == 0

    cluster.worker()
    done = cluster.run(COMMAND, "ingest", str(cluster.folder), "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["scanned"] == PHOTOS + 1
    assert report["indexed"] + report["duplicates"] == PHOTOS
    assert [Path(error["path"]).name for error in report["errors"]] == ["broken.jpg"]
    assert_in_order(cluster.services(), photos=PHOTOS + 1, failed=1)
    _assert_watched(cluster.log)

    again = cluster.run(COMMAND, "ingest", str(cluster.folder), "--json")
    assert json.loads(again.stdout)["indexed"] == 0


def _assert_watched(log: Path) -> None:
    """The log is JSON and names the port where Prometheus finds what was done."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert any("run" in line for line in lines)
    said = wait_for("the port", lambda: re.search(r"metrics on port (\d+)", log.read_text()), log)
    with urlopen(f"http://127.0.0.1:{said.group(1)}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    assert f'geosearch_photos{{state="indexed"}} {PHOTOS:.1f}' in text
    assert 'geosearch_queue_messages{queue="embed"}' in text
    assert 'geosearch_photos_ended_total{outcome="failed"} 1.0' in text


def test_status_tells_what_waits_in_every_queue_and_when_the_broker_is_away(
    cluster: Cluster, valkey: Valkey, draw: Draw
) -> None:
    draw(cluster.folder, PHOTOS)
    cluster.run(COMMAND, "ingest", str(cluster.folder), "--no-wait")
    told = json.loads(cluster.run(COMMAND, "status", "--json").stdout)
    assert told["queues"] == {"embed": 1, "index": 0, "locate": 0, "maintenance": 0}
    assert (told["pace"]["waiting_to_be_read"], told["pace"]["left"]) == (PHOTOS, PHOTOS)
    assert "1 messages in embed" in cluster.run(COMMAND, "status").stdout
    valkey.kill()
    done = cluster.run(COMMAND, "status", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["queues"]) == (0, None)
    assert "GEOSEARCH_BROKER_URL" in told["broker"]


def test_what_needs_a_broker_says_so(tmp_path: Path, cluster: Cluster) -> None:
    del cluster.environment["GEOSEARCH_BROKER_URL"]
    for arguments in (["worker"], ["ingest", str(tmp_path), "--no-wait"], ["retry", "--no-wait"]):
        done = cluster.run(COMMAND, *arguments)
        assert done.returncode == 2
        assert "GEOSEARCH_BROKER_URL" in done.stderr
