"""Small copies of photos as `data:` addresses, with nothing of the file but its pixels."""

from __future__ import annotations

import base64
import logging
from io import BytesIO
from pathlib import Path

from PIL import Image

from geosearch.errors import UnreadableImage
from geosearch.images import open_rgb

logger = logging.getLogger(__name__)

_LARGEST_FILE_BYTES = 64 * 2**20


def thumbnail(path: str, *, edge_px: int = 240) -> str | None:
    """A JPEG of the photo at most `edge_px` wide and high as a `data:` address.

    None where there is nothing to show: no such file (an address on the web is never fetched), or
    not a photo. The page then says so in its place.
    """
    file = Path(path)
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST_FILE_BYTES:
            return None
        image = open_rgb(file.read_bytes(), min_side=edge_px)
    except (OSError, ValueError, UnreadableImage) as error:
        logger.info("no thumbnail: %s", error)
        return None
    image.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
    # Pixels alone go on: a copy made this way cannot carry EXIF, comments or profiles along.
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    target = BytesIO()
    bare.save(target, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode("ascii")
