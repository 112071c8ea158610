"""GeoSearch takes a folder in: record, gazetteer, index and graph included; or only its model.

`alone`: reading, decoding and encoding with the same threads and batches, nothing kept. The model,
the engines and the gazetteer are open before the clock starts, as in a process at work.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from geosearch.benchmarks.ingest import plain_rate
from geosearch.encoder.embedder import load_embedder
from geosearch.geo import Coordinate
from geosearch.ingest.folders import scan
from geosearch.ingest.parts import PipelineOptions
from geosearch.services import Services
from geosearch.settings import load_settings
from peers.contenders.contender import Answer, Request, play, used_s


def measure(request: Request) -> Answer:
    """Photos a second, or seconds of a second ingest when the home is filled already."""
    folder = Path(request["photos"])
    embedder = load_embedder(
        f"{request['architecture']}/{request['weights']}", dtype=request["dtype"]
    )
    paths = sorted(folder.rglob("*.jpg"))
    first = [embedder.prepare(path.read_bytes()) for path in paths[:8]]
    probe = embedder.image_features(first)  # warm, as every other contender's model is
    found: Answer = {"probe": probe.tolist(), "dtype": str(embedder.dtype)}
    if request["action"] == "alone":
        defaults = PipelineOptions()
        threads, batch = os.cpu_count() or 1, defaults.batch_size
        cpu_s = used_s()
        rate = plain_rate(embedder, paths, threads=threads, batch=batch)
        return found | {"per_second": rate, "cpu_s": used_s() - cpu_s}
    with ExitStack() as opened:
        home = request["home"]
        if home is None:  # a collection of its own, for this time only
            home = opened.enter_context(tempfile.TemporaryDirectory(dir=request["scratch"]))
        settings = load_settings(home=Path(home), encoder="lite")  # the model is given below
        services = opened.enter_context(Services(settings, load_embedder=lambda _: embedder))
        pipeline = services.pipeline
        services.gazetteer.lookup([Coordinate(0.0, 0.0)])
        cpu_s, start = used_s(), time.perf_counter()
        report = pipeline.run(scan([folder]), inputs={})
        seconds, cpu_s = time.perf_counter() - start, used_s() - cpu_s
    if report.failed or report.indexed != request["expected"]:
        raise RuntimeError(f"{report} where {request['expected']} photos were to be indexed")
    return found | {"seconds": seconds, "cpu_s": cpu_s, "per_second": len(paths) / seconds}


if __name__ == "__main__":
    play(measure, "torch", "open_clip_torch", "qdrant-edge-py")
