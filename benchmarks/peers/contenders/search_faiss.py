"""faiss, flat and HNSW: build once, search from then on; under areas by a mask of the matches."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from peers.contenders.contender import Answer, Clock, Request, padded, play, resident_mb

EARTH_RADIUS_KM = 6371.0088


def measure(request: Request) -> Answer:
    """Ids and milliseconds of every query; for HNSW at the least `ef` of a list that suffices."""
    inputs, index_path = Path(request["inputs"]), Path(request["index"])
    clock = Clock()
    if not index_path.exists():
        vectors = np.load(inputs / "vectors.npy")
        with clock.running():
            build(request["kind"], vectors, index_path)
        return {"build_s": clock.seconds[0]}
    before = resident_mb()
    index = faiss.read_index(str(index_path))
    queries = np.load(inputs / "queries.npy")
    if request["action"] == "filtered":
        return filtered(request, inputs, index, queries)
    k, tries = request["k"], {}
    for ef in request.get("efs", [None]):
        if ef is not None:
            index.hnsw.efSearch = ef
        index.search(queries[:1], k)
        found, clock = [], Clock()
        for query in queries:
            with clock.running():
                _, ids = index.search(query[None], k)
            found.append(ids[0].tolist())
        tries[str(ef)] = {"found": found, "ms": clock.milliseconds, "cpu_ms": clock.cpu_ms}
    return {"tries": tries, "resident_mb": resident_mb() - before}


def build(kind: str, vectors: np.ndarray, path: Path) -> None:
    """Make an index and write it."""
    if kind == "flat":
        index = faiss.IndexFlatIP(vectors.shape[1])
    else:
        index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 128
    index.add(vectors)
    faiss.write_index(index, str(path))


def filtered(request: Request, inputs: Path, index: faiss.Index, queries: np.ndarray) -> Answer:
    """Circles of every size: distances by numpy, then the index under a bitmap of the matches."""
    lat, lon = (np.radians(column) for column in np.load(inputs / f"{request['places']}.npy").T)
    circles = np.load(inputs / f"{request['places']}-circles.npy")  # (sizes, queries, 3)
    rows = []
    for size in circles:
        found, clock = [], Clock()
        for query, (center_lat, center_lon, radius_km) in zip(queries, size, strict=True):
            with clock.running():
                cosine = np.sin(np.radians(center_lat)) * np.sin(lat) + np.cos(
                    np.radians(center_lat)
                ) * np.cos(lat) * np.cos(lon - np.radians(center_lon))
                inside = cosine >= np.cos(radius_km / EARTH_RADIUS_KM)
                selector = faiss.IDSelectorBitmap(np.packbits(inside, bitorder="little"))
                _, ids = index.search(
                    query[None], request["k"], params=faiss.SearchParameters(sel=selector)
                )
            found.append(padded([one for one in ids[0].tolist() if one >= 0], request["k"]))
        rows.append({"found": found, "ms": clock.milliseconds, "cpu_ms": clock.cpu_ms})
    return {"rows": rows}


if __name__ == "__main__":
    play(measure, "faiss-cpu", "numpy")
