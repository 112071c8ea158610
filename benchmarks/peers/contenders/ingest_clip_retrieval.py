"""`clip-retrieval inference` on a folder, then faiss over what it wrote.

The model is loaded and warm before the clock starts: its loader remembers what it loaded.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from all_clip import load_clip
from clip_retrieval.clip_inference.main import main as clip_inference

from peers.contenders.contender import Answer, Request, play, used_s


def measure(request: Request) -> Answer:
    """Photos a second until the index is on disk."""
    folder = Path(request["photos"])
    model = f"open_clip:{request['architecture']}/{request['weights']}"
    batch = request.get("batch_size", 256)
    load_clip(clip_model=model, use_jit=False, warmup_batch_size=batch, clip_cache_path=None)
    with tempfile.TemporaryDirectory(dir=request["scratch"]) as scratch:
        cpu_s, start = used_s(), time.perf_counter()
        clip_inference(
            input_dataset=str(folder),
            output_folder=scratch,
            enable_text=False,
            clip_model=model,
            batch_size=batch,
            num_prepro_workers=request.get("workers", 4),
        )
        parts = sorted(Path(scratch).glob("img_emb/*.npy"))
        features = np.concatenate([np.load(part) for part in parts]).astype(np.float32)
        index = faiss.IndexFlatIP(features.shape[1])
        index.add(features)
        faiss.write_index(index, str(Path(scratch) / "photos.index"))
        seconds, cpu_s = time.perf_counter() - start, used_s() - cpu_s
    if len(features) != request["expected"]:
        raise RuntimeError(f"{len(features)} photos of {request['expected']} were encoded")
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "per_second": len(features) / seconds,
        "probe": features[:8].tolist(),
        "dtype": "torch.float32",
    }


if __name__ == "__main__":
    play(measure, "clip-retrieval", "faiss-cpu", "torch", "open_clip_torch")
