"""The script that one would write: a model of open_clip, a faiss index, one photo's neighbours."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import open_clip
import torch
from PIL import Image

from peers.contenders.contender import Answer, Request, play


def measure(request: Request) -> Answer:
    """The ids of the ten nearest; the whole process is what is timed."""
    index_path = Path(request["index"])
    if not index_path.exists():
        stored = np.random.default_rng(0).normal(size=(request["points"], 512))
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        index = faiss.IndexFlatIP(512)
        index.add(stored.astype(np.float32))
        faiss.write_index(index, str(index_path))
        return {}
    model, _, transform = open_clip.create_model_and_transforms(
        request["architecture"], pretrained=request["weights"]
    )
    model.eval()
    index = faiss.read_index(str(index_path))
    with torch.inference_mode(), Image.open(request["photo"]) as image:
        features = model.encode_image(transform(image.convert("RGB"))[None])
    asked = torch.nn.functional.normalize(features, dim=1).numpy()
    _, ids = index.search(asked, 10)
    return {"ids": ids[0].tolist()}


if __name__ == "__main__":
    play(measure, "faiss-cpu", "open_clip_torch", "torch")
