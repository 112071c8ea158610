"""What makes two embeddings comparable: the identity of an encoder, as text and as a short hash."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Everything that changes an embedding when it changes.

    Device and dtype are left out on purpose: they are chosen so that the result stays within a
    cosine of 0.999 of float32 (`device.choose_dtype`).
    """

    backbone: str
    weights: str
    activation: str
    preprocess: str
    heads: str = "none"
    location: str = "none"

    def __str__(self) -> str:
        return "|".join(astuple(self))

    @property
    def short(self) -> str:
        """Twelve hexadecimal digits that stand for the whole, used in names of collections."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:12]
