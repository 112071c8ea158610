"""Where and in which number format a backbone runs: chosen by asking the machine, then measured."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from geosearch.errors import ConfigError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MIN_COSINE = 0.999
"""A faster dtype is taken only while every probe stays this close to float32."""

DTYPES = ("auto", "float32", "bfloat16", "float16")


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device that exists here.

    Raises:
        ConfigError: the name is unknown or the device is not on this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"GEOSEARCH_DEVICE={name!r} is not known; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ConfigError(
                f"GEOSEARCH_DEVICE={name!r}: this machine offers {count} CUDA devices to torch; "
                "use auto or cpu, or install a CUDA build of torch"
            )
    return device


def device_or_cpu(name: str) -> str:
    """The device if it exists here, else `cpu`, said in the log."""
    try:
        choose_device(name)
    except ConfigError as error:
        logger.warning("%s; working on the CPU, as GEOSEARCH_CPU_FALLBACK allows", error)
        return "cpu"
    return name


def fast_dtypes(device: torch.device) -> list[torch.dtype]:
    """Formats below float32 that the hardware multiplies natively; empty where it has none."""
    import torch

    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return [torch.bfloat16] if major >= 8 else [torch.float16] if major >= 7 else []
    # torch has no public question for this yet; the private one exists since 2.6 and is guarded.
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return [torch.bfloat16] if has_bf16() or has_amx() else []


def choose_dtype(
    name: str,
    device: torch.device,
    prepare: Callable[[torch.dtype], Callable[[], torch.Tensor]],
    *,
    candidates: list[torch.dtype],
) -> torch.dtype:
    """The fastest dtype whose result stays at a cosine of 0.999 to float32.

    Args:
        name: one of `DTYPES`; everything but `auto` is taken as told.
        device: where the probe computes.
        prepare: makes, for a dtype, a function that gives the features (n, d) of a fixed probe
            batch; that function is called twice, once to warm up and once to time.
        candidates: formats to try beside float32, as from `fast_dtypes`.

    Raises:
        ConfigError: the name is none of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise ConfigError(f"GEOSEARCH_DTYPE={name!r} is not known; use one of {', '.join(DTYPES)}")
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if not candidates:
        return torch.float32
    reference, best_seconds = _timed(prepare(torch.float32), device)
    best = torch.float32
    for dtype in candidates:
        features, seconds = _timed(prepare(dtype), device)
        cosine = torch.nn.functional.cosine_similarity(reference, features).min().item()
        logger.info("dtype %s: cosine %.5f, %.3f s a probe", dtype, cosine, seconds)
        if cosine >= MIN_COSINE and seconds < best_seconds:
            best, best_seconds = dtype, seconds
    return best


def _timed(run: Callable[[], torch.Tensor], device: torch.device) -> tuple[torch.Tensor, float]:
    run()
    synchronize(device)
    start = time.perf_counter()
    features = run().float()
    synchronize(device)
    return features, time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for everything queued on a CUDA device; nothing to wait for on a CPU."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
