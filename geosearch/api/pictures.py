"""Photos for looking at: decoded, made small and written anew, so that no metadata goes along."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

from geosearch.images import open_rgb

JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "Not Modified"},
}
"""How the OpenAPI document describes a picture."""


def picture(data: bytes, edge_px: int, *, max_pixels: int = 100_000_000) -> bytes:
    """A JPEG of at most `edge_px` a side with nothing of the file but its pixels.

    Raises:
        UnreadableImage: no supported image, too large, or damaged.
    """
    image = open_rgb(data, min_side=edge_px // 2, max_pixels=max_pixels)
    image.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
    target = BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(target, "JPEG", quality=84)
    return target.getvalue()
