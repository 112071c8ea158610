"""How fast coordinates become location features, against GeoCLIP's own encoder in the same run."""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from geosearch.errors import MissingDependency

if TYPE_CHECKING:
    from torch import Tensor

BASELINE = "GeoCLIP's LocationEncoder, float32"
ROUNDS = 9


def location_speed(
    progress: Callable[[str], None] | None = None, *, size: int = 4096
) -> dict[str, Any]:
    """Median coordinates a second of batches of `size`, the cases in turn so that drift hits all.

    `cosine_min` and `difference_max` compare each case with the baseline's features of the same
    coordinates. Ours does more: a Transformer over the scales and attention to anchors; both are
    computed in full, though without training they add zero.

    Raises:
        MissingDependency: the extra `geoclip` is not installed; there is nothing to compare with.
    """
    import torch

    from geosearch.encoder.device import fast_dtypes
    from geosearch.encoder.location import LocationEncoder

    baseline = _geoclip_encoder()
    generator = torch.Generator().manual_seed(0)
    lat_lon = torch.rand((size, 2), generator=generator) * torch.tensor([180.0, 360.0])
    lat_lon = lat_lon - torch.tensor([90.0, 180.0])  # (size, 2)
    cases: dict[str, Callable[[Tensor], Tensor]] = {BASELINE: baseline}
    for dtype in (torch.float32, *fast_dtypes(lat_lon.device)):
        encoder = LocationEncoder.from_geoclip().eval()
        encoder.compute_dtype = dtype
        cases[f"geosearch LocationEncoder, {str(dtype).removeprefix('torch.')}"] = encoder
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    features: dict[str, Tensor] = {}
    with torch.no_grad():
        for number in range(ROUNDS + 1):
            for name, encode in cases.items():
                start = time.perf_counter()
                features[name] = encode(lat_lon)
                if number:  # the first round only warms up
                    seconds[name].append(time.perf_counter() - start)
            if number and progress is not None:
                progress(f"round {number} of {ROUNDS}")
    base = statistics.median(seconds[BASELINE])
    rows = [
        {
            "case": name,
            "coordinates_per_s": size / statistics.median(values),
            "p50_ms": 1000.0 * statistics.median(values),
            "speedup": base / statistics.median(values),
            "cosine_min": torch.cosine_similarity(features[BASELINE], features[name]).min().item(),
            "difference_max": (features[BASELINE] - features[name]).abs().max().item(),
            "baseline": BASELINE,
        }
        for name, values in seconds.items()
    ]
    return {"name": "location-speed", "rows": rows}


def _geoclip_encoder() -> Callable[[Tensor], Tensor]:
    """The wheel's own module, with its trained weights."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.jit.script and of transformers
            module = importlib.import_module("geoclip.model.location_encoder")
    except ImportError as error:
        raise MissingDependency(
            "geoclip", extra="geoclip", purpose="measuring beside GeoCLIP's own encoder"
        ) from error
    encoder: Callable[[Tensor], Tensor] = module.LocationEncoder().eval()
    return encoder
