"""The script that one would write: open_clip, a torch DataLoader, `QdrantClient.upsert`."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from qdrant_client import QdrantClient, models
from torch.utils.data import DataLoader, Dataset

from peers.contenders.contender import Answer, Request, play, used_s


class Photos(Dataset[Any]):
    """A folder of JPEGs, transformed as open_clip does."""

    def __init__(self, paths: list[Path], transform: Any) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Any:
        with Image.open(self.paths[number]) as image:
            return self.transform(image.convert("RGB"))


def measure(request: Request) -> Answer:
    """Photos a second until every one is in the collection."""
    model, _, transform = open_clip.create_model_and_transforms(
        request["architecture"], pretrained=request["weights"]
    )
    model.eval()
    paths = sorted(Path(request["photos"]).rglob("*.jpg"))
    dim = int(model.visual.output_dim)
    with torch.inference_mode():
        first = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths[:8]])
        probe = model.encode_image(first)
    client = QdrantClient(":memory:")
    client.create_collection(
        "photos", vectors_config=models.VectorParams(size=dim, distance=models.Distance.COSINE)
    )
    cpu_s, start = used_s(), time.perf_counter()
    loader = DataLoader(
        Photos(paths, transform),
        batch_size=request["batch_size"],
        num_workers=request["workers"],
    )
    done = 0
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # local mode advises a server for large collections
        for pixels in loader:
            features = model.encode_image(pixels)
            points = [
                models.PointStruct(id=done + row, vector=vector, payload={"path": str(path)})
                for row, (vector, path) in enumerate(
                    zip(features.tolist(), paths[done : done + len(features)], strict=True)
                )
            ]
            client.upsert("photos", points=points)
            done += len(points)
    seconds, cpu_s = time.perf_counter() - start, used_s() - cpu_s
    if client.count("photos").count != request["expected"]:
        raise RuntimeError(f"not every one of {request['expected']} photos was indexed")
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "per_second": done / seconds,
        "probe": probe.tolist(),
        "dtype": "torch.float32",
    }


if __name__ == "__main__":
    play(measure, "torch", "open_clip_torch", "qdrant-client")
