"""The picture that a model is shown: small, upright, and without a byte of metadata."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass, field

from PIL import Image

from geosearch.images import MAX_PIXELS, open_rgb

DEFAULT_EDGE = 1024
_QUALITY = 88


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG made from pixels alone, and the sha256 (hex) of its bytes."""

    data: bytes = field(repr=False)
    digest: str
    width: int
    height: int

    media_type = "image/jpeg"

    @property
    def data_url(self) -> str:
        """The picture inside a URL: models that fetch URLs lose them on the way to a fallback."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


def prepare_picture(
    data: bytes, *, edge: int = DEFAULT_EDGE, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Decode a photo and write it anew: no EXIF, XMP, IPTC, comment, thumbnail or profile is left.

    Args:
        data: the file.
        edge: the longer side of the result in pixels at most; smaller photos are not enlarged.
        max_pixels: as in `images.open_rgb`.

    Raises:
        UnreadableImage: it is no image that can be decoded safely.
    """
    decoded = open_rgb(data, min_side=edge, oversample=1.0, max_pixels=max_pixels)
    decoded.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    # A new image of the same pixels: whatever the decoder hung on the old one stays behind.
    clean = Image.frombytes("RGB", decoded.size, decoded.tobytes())
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    encoded = buffer.getvalue()
    return Picture(encoded, hashlib.sha256(encoded).hexdigest(), *clean.size)
