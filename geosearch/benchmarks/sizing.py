"""How much disk and memory a collection takes: a formula, and a measurement to hold against it."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import text

from geosearch.benchmarks.shapes import clustered_vectors, places_by_cluster
from geosearch.catalogue.embedded import EmbeddedPostgres
from geosearch.catalogue.session import migrate, open_engine
from geosearch.store.base import PointPayload, SearchMode, VectorPoint
from geosearch.store.edge import EdgeStore

DIMS = {
    "lite, no heads": 1280,
    "ViT-B-32, no heads": 512,
    "ViT-B-32, heads": 1536,
    "ViT-L-14, heads": 2304,
    "lite, heads": 3840,
}
"""Lengths of vectors as they are kept: one image feature without trained heads, three with them."""

PHOTOS = (1_000_000, 10_000_000, 100_000_000)

GRAPH_BYTES = 100
"""Links of one point, compressed: 42 bytes at 40,000 points, and their ids grow with the number."""

POINT_BYTES = 550
"""Payload, its five indexes and the ids of one point, on disk."""

POINT_RAM_BYTES = 500
"""Payload indexes and ids of one point that searches keep in memory."""

CATALOGUE_BYTES = 1_000
"""Rows of a photo in `photo`, `source` and `embedding` with their indexes; captions come on top."""

FIXED_BYTES = 67_000_000
"""The engine's log: two files of 32 MiB."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes for a number of photos, in memory for two ways of keeping vectors.

    `ram_float32` keeps everything in memory; `ram_int8` the 8-bit copies and the graph, while the
    vectors that rescore are read from a fast disk.
    """

    index_disk: int
    catalogue_disk: int
    ram_float32: int
    ram_int8: int


def estimate(photos: int, dim: int) -> Size:
    """What `photos` vectors of length `dim` take, without the photos themselves."""
    float32, int8 = 4 * dim * photos, dim * photos
    small = (GRAPH_BYTES + POINT_RAM_BYTES) * photos + FIXED_BYTES
    return Size(
        # Building the graph writes the segment beside the old one: plan twice this while it lasts.
        index_disk=float32 + int8 + (GRAPH_BYTES + POINT_BYTES) * photos + FIXED_BYTES,
        catalogue_disk=CATALOGUE_BYTES * photos,
        ram_float32=float32 + int8 + small,
        ram_int8=int8 + small,
    )


def table() -> list[dict[str, Any]]:
    """The estimates of docs/operations.md, in GB."""
    return [
        {"encoder": name, "dim": dim, "photos": photos}
        | {f"{field}_gb": value / 1e9 for field, value in asdict(estimate(photos, dim)).items()}
        for name, dim in DIMS.items()
        for photos in PHOTOS
    ]


def table_lines() -> list[str]:
    """`table` as lines of Markdown."""
    lines = [
        "| encoder | photos | index, disk | catalogue, disk | RAM, int8 | RAM, float32 |",
        "|---|---|---|---|---|---|",
    ]
    for row in table():
        sizes = [
            f"{row[name]:,.1f} GB" if row[name] < 100 else f"{row[name]:,.0f} GB"
            for name in ("index_disk_gb", "catalogue_disk_gb", "ram_int8_gb", "ram_float32_gb")
        ]
        millions = f"{row['photos'] // 1_000_000} M"
        lines.append(f"| {row['encoder']} ({row['dim']}) | {millions} | {' | '.join(sizes)} |")
    return lines


def sizing(progress: Callable[[str], None] | None = None, *, n: int = 100_000) -> dict[str, Any]:
    """Disk and memory of `n` vectors of 768 numbers and of `n` photos on record, measured.

    The ratio is measured to estimated. Vectors are clustered as photos are, payloads full.
    """
    say = progress or (lambda _: None)
    dim = 768
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as name:
        say(f"writing {n} vectors")
        disk, resident, float32, seconds = _index(Path(name) / "index", n, dim)
        say(f"recording {n} photos")
        catalogue = _catalogue(Path(name) / "postgres", n)
    expected = estimate(n, dim)
    rows = [
        ("index on disk", disk, expected.index_disk),
        ("index in memory, all of it read", resident, expected.ram_float32),
        ("of that without the float32 vectors", resident - float32, expected.ram_int8),
        ("catalogue on disk", catalogue, expected.catalogue_disk),
    ]
    return {
        "name": "sizing",
        "rows": [
            {
                "case": case,
                "n": n,
                "dim": dim,
                "mb": measured / 1e6,
                "bytes_each": measured / n,
                "baseline": f"estimate: {estimated / 1e6:.0f} MB",
                "ratio": measured / estimated,
            }
            for case, measured, estimated in rows
        ],
        "seconds_to_build": seconds,
        "table": table(),
    }


def _index(directory: Path, n: int, dim: int) -> tuple[int, int, int, float]:
    """Disk and memory of a searched index, how much of the memory is float32, seconds to build."""
    rng = np.random.default_rng(0)
    vectors, clusters = clustered_vectors(rng, n, dim)
    places = places_by_cluster(rng, clusters)
    taken = datetime(2024, 5, 1, 12, tzinfo=UTC)
    start = time.perf_counter()
    store = EdgeStore(directory, dim=dim, identity="sizing")
    for first in range(0, n, 1000):
        store.upsert(
            [
                VectorPoint(
                    UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128),
                    vectors[number],
                    PointPayload(
                        places[number],
                        captured_at=taken,
                        dataset="archive",
                        country="SE",
                        author=f"author {number % 4001}",
                    ),
                )
                for number in range(first, min(first + 1000, n))
            ]
        )
    store.optimize()
    store.close()
    seconds = time.perf_counter() - start
    disk = sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
    before = _resident()
    store = EdgeStore(directory, dim=dim, identity="sizing")
    for number in range(0, n, max(1, n // 2000)):
        store.query(vectors[number], limit=10, mode=SearchMode.HNSW, ef=128)
    resident, float32 = _resident() - before, _resident_of("vector_storage/matrix.dat")
    store.close()
    return disk, resident, float32, seconds


def _catalogue(directory: Path, n: int) -> int:
    """Disk of `n` photos of an ordinary archive, each with a source and an embedding."""
    server = EmbeddedPostgres(directory)
    try:
        engine = open_engine(server.url)
        migrate(engine)
        with engine.begin() as connection:
            for statement in _FILL:
                connection.execute(text(statement), {"n": n})
        with engine.connect() as connection:
            size = connection.scalar(text(_SIZE))
        engine.dispose()
        return int(size or 0)
    finally:
        server.close()


_FILL = (
    """INSERT INTO photo (id, sha256, uri, size_bytes, width, height, lat, lon, label_source,
        captured_at, author, camera, country, country_name, region, city, dataset, state)
    SELECT md5(i::text)::uuid, encode(sha256(i::text::bytea), 'hex'),
        '/archive/2024/' || i % 977 || '/IMG_' || i || '.jpg', 4000000, 4000, 3000,
        i % 170 - 85, i % 360 - 180, 'exif', now() - i * interval '1 minute',
        'author ' || i % 4001, 'Maker Model ' || i % 50, 'SE', 'Sweden', 'Skane', 'Lund',
        'archive', 'indexed'
    FROM generate_series(1, :n) i""",
    """INSERT INTO source (uri, photo_id, signature)
    SELECT uri, id, '4000000:1700000000000000000:1700000000000000000' FROM photo""",
    """INSERT INTO embedding (photo_id, encoder, point_id)
    SELECT id, 'ViT-L-14/openai quickgelu squash-224 blocks-3', id FROM photo""",
)

_SIZE = """SELECT sum(pg_total_relation_size(name::regclass))
FROM unnest(ARRAY['photo', 'source', 'embedding']) name"""


def _resident() -> int:
    """Memory of this process now, files that it has mapped included, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def _resident_of(name: str) -> int:
    """Memory of this process that is read from files whose paths end so, in bytes."""
    total, is_wanted = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_wanted = line.endswith(name)
        elif is_wanted and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total
