"""`GeoSearch.locate`, warm, among recorded and indexed photos, with GeoCLIP's gallery."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import numpy as np

from geosearch.benchmarks.locating import fill
from geosearch.client import GeoSearch
from geosearch.encoder.backbone import ClipBackbone
from geosearch.encoder.embedder import Embedder, TrainedHeads
from geosearch.encoder.model import TransGeoClip
from geosearch.services import Services
from geosearch.settings import load_settings
from peers.contenders.contender import Answer, Clock, Request, play


def measure(request: Request) -> Answer:
    """Milliseconds of each photo, from its file to its place."""
    backbone = ClipBackbone(f"{request['architecture']}/{request['weights']}")
    version = f"geoclip-{metadata.version('geoclip')}"
    heads = TrainedHeads(TransGeoClip.from_geoclip(), version, version)
    embedder = Embedder(backbone, heads=heads, dtype=request["dtype"])
    home = Path(request["home"])
    filled = home.with_suffix(".filled")  # a run that was cut off leaves a home half-filled
    is_new = not filled.exists()
    if is_new:
        shutil.rmtree(home, ignore_errors=True)
    with Services(
        load_settings(home=home, encoder="lite"),  # the name is not used: the model is given
        load_embedder=lambda _: embedder,
    ) as services:
        if is_new:
            fill(services, np.random.default_rng(0), request["gallery"], lambda _: None)
            filled.touch()
        collection = GeoSearch(services)
        paths = sorted(Path(request["photos"]).glob("*.jpg"))
        list(collection.locate(paths[0]))  # embeds the gallery when the home is new
        clock = Clock()
        for path in paths:
            with clock.running():
                answers = list(collection.locate(path))
            if len(answers) != 1:
                raise RuntimeError(f"{path} got {len(answers)} answers")
    return {"ms": clock.milliseconds, "cpu_ms": clock.cpu_ms, "dtype": str(embedder.dtype)}


if __name__ == "__main__":
    play(measure, "torch", "open_clip_torch", "geoclip", "qdrant-edge-py")
