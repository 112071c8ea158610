"""`geoclip.GeoCLIP.predict`, warm, with a backbone of random weights; as it is, or less wasteful.

As it is, each call embeds the whole gallery anew. `kept` keeps the gallery's features from call to
call, which the package does not do, to tell apart what that alone brings.
"""

from __future__ import annotations

from pathlib import Path

import torch
from geoclip import GeoCLIP
from PIL import Image

from peers.contenders.contender import Answer, Clock, Request, play


def measure(request: Request) -> Answer:
    """Milliseconds of each photo; `is_warm` leaves out the one before the clock starts."""
    torch.manual_seed(0)
    model = GeoCLIP(from_pretrained=True, clip_pretrained=False).eval()
    paths = sorted(Path(request["photos"]).glob("*.jpg"))
    clock = Clock()
    if not request["kept"]:
        if not request.get("is_warm"):
            model.predict(str(paths[0]), top_k=5)
        for path in paths:
            with clock.running():
                model.predict(str(path), top_k=5)
        return {"ms": clock.milliseconds, "cpu_ms": clock.cpu_ms, "dtype": "torch.float32"}
    with torch.no_grad():
        places = torch.cat([model.location_encoder(part) for part in model.gps_gallery.split(4096)])
        places = torch.nn.functional.normalize(places, dim=1)
        for number, path in enumerate([paths[0], *paths]):
            warmed = clock if number else Clock()
            with warmed.running(), Image.open(path) as image:
                pixels = model.image_encoder.preprocess_image(image.convert("RGB"))
                features = torch.nn.functional.normalize(model.image_encoder(pixels), dim=1)
                logits = model.logit_scale.exp() * features @ places.t()
                torch.topk(logits.softmax(dim=-1), 5, dim=1)
    return {"ms": clock.milliseconds, "cpu_ms": clock.cpu_ms, "dtype": "torch.float32"}


if __name__ == "__main__":
    play(measure, "geoclip", "torch", "transformers")
