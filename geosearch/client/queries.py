"""What is asked for, as one vector: picture, words and place, weighed and summed."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.client.arguments import Place, coordinate_of, image_bytes
from geosearch.criteria import PathLike
from geosearch.errors import ConfigError, InvalidInput
from geosearch.serving.opened import OpenIndex

Vector = NDArray[np.float32]


class PhotoVectors:
    """Vectors of the photos that were asked with last: whoever turns pages asks with the same one.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, bytes], Vector] = OrderedDict()
        self._lock = threading.Lock()

    def vector(self, index: OpenIndex, data: bytes) -> Vector:
        """The fused vector (dim,) float32 of the bytes of an image file, for an index.

        Raises:
            UnreadableImage: the bytes are no picture that can be decoded safely.
        """
        photo = (index.identity, hashlib.sha256(data).digest())
        with self._lock:
            known = self._known.get(photo)
            if known is not None:
                self._known.move_to_end(photo)
                return known
        vector = index.embedder.embed(data)
        vector.flags.writeable = False
        with self._lock:
            self._known[photo] = vector
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return vector

    def forget(self, sha256: bytes) -> None:
        """Drop what is known of the photo with this sha256."""
        with self._lock:
            for photo in [photo for photo in self._known if photo[1] == sha256]:
                del self._known[photo]


def fused_query(
    photos: PhotoVectors,
    image: PathLike | bytes | None,
    like: UUID | str | None,
    text: str | None,
    at: Place | None,
    weights: Mapping[str, float] | None,
) -> Callable[[OpenIndex], Vector] | None:
    """What makes the weighted sum of what is asked for (dim,); None when only filters are given.

    It is made for one index, by the encoder of that index, and may raise InvalidInput there.

    Raises:
        ConfigError: weights or parts that do not go together.
    """
    if image is not None and like is not None:
        raise ConfigError("give an image or the id of one (like), not both")
    if text is not None and not text.strip():
        raise ConfigError("the text to search for is empty; say what the photos show")
    parts: dict[str, Callable[[OpenIndex], Vector]] = {}
    if image is not None:
        parts["image"] = lambda index: photos.vector(index, image_bytes(image))
    if like is not None:
        parts["image"] = lambda index: _stored_vector(index, like)
    if text is not None:
        parts["text"] = lambda index: index.embedder.encode_texts([text])[0]
    if at is not None:
        parts["gps"] = lambda index: index.embedder.encode_locations([coordinate_of(at)])[0]
    counted = _counted(parts, dict(weights or {}))
    if not parts:
        return None

    def query(index: OpenIndex) -> Vector:
        asked = [counted[name] * make(index) for name, make in parts.items() if counted[name]]
        fused: Vector = np.sum(asked, axis=0, dtype=np.float32)
        return fused

    return query


def _counted(parts: Mapping[str, object], weights: Mapping[str, float]) -> dict[str, float]:
    """A weight for each part, 1 unless told."""
    unused = set(weights) - set(parts)
    if unused:
        raise ConfigError(
            f"a weight is given for {', '.join(sorted(unused))}, which is not asked for; "
            "weights are for image, text and gps"
        )
    counted = {name: weights.get(name, 1.0) for name in parts}
    if not all(math.isfinite(weight) and weight >= 0.0 for weight in counted.values()) or (
        parts and not any(counted.values())
    ):
        raise ConfigError(f"weights {counted}: give numbers of 0 or more, not all of them 0")
    return counted


def _stored_vector(index: OpenIndex, photo: UUID | str) -> Vector:
    try:
        wanted = photo if isinstance(photo, UUID) else UUID(photo)
    except ValueError:
        raise InvalidInput(f"{str(photo)[:60]!r} is not the id of a photo") from None
    found = index.store.vectors([wanted])
    if wanted not in found:
        raise InvalidInput(f"the photo {wanted} is not in the index of this encoder")
    return found[wanted]
