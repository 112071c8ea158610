"""From the bytes of a photo to its fused vector: the one object that ingest and search share."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geosearch import images
from geosearch.encoder.base import Backbone
from geosearch.encoder.device import choose_device, choose_dtype, fast_dtypes
from geosearch.encoder.fusion import fuse
from geosearch.encoder.identity import EncoderIdentity
from geosearch.encoder.preprocess import DRAFT_MARGIN

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class Embedder:
    """Encodes photos; safe to call `prepare` from many threads, `encode` from one at a time.

    Args:
        backbone: the frozen encoder pair.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        max_pixels: refuse pictures with more.

    Raises:
        ConfigError: the device or dtype does not exist here.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_pixels: int = images.MAX_PIXELS,
    ) -> None:
        self._backbone = backbone
        self._max_pixels = max_pixels
        self.preprocess = backbone.preprocess
        self.device = choose_device(device)
        candidates = fast_dtypes(self.device) if backbone.may_be_halved else []
        self.dtype = choose_dtype(dtype, self.device, self._probe, candidates=candidates)
        backbone.to(self.device, self.dtype)
        self.identity = EncoderIdentity(
            backbone=backbone.name,
            weights=backbone.weights,
            activation=backbone.activation,
            preprocess=str(backbone.preprocess),
        )
        self.dim = 3 * backbone.image_dim
        logger.info("encoder %s on %s, %s", self.identity, self.device, self.dtype)

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """The bytes of an image file to (size, size, 3) uint8.

        Raises:
            UnreadableImage: the bytes are no picture that can be decoded safely.
        """
        image = images.open_rgb(
            data,
            min_side=self.preprocess.size,
            oversample=DRAFT_MARGIN,
            max_pixels=self._max_pixels,
        )
        return self.preprocess(image)

    def image_features(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepared pictures (n of (size, size, 3)) to backbone features (n, image_dim) float32."""
        import torch

        batch = torch.from_numpy(np.stack(pixels)).to(self.device)  # (n, size, size, 3)
        with torch.inference_mode():
            features = self._backbone.image_features(self.preprocess.normalize(batch))
        on_host: NDArray[np.float32] = features.cpu().numpy()
        return on_host  # (n, image_dim)

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepared pictures to fused vectors (n, dim) float32, L2-normalised.

        Until heads are trained the text- and location-aligned blocks are the image feature itself,
        so the cosine of two vectors is the cosine of the two images.
        """
        features = self.image_features(pixels)
        return fuse(visual=features, text_aligned=features, location_aligned=features)

    def embed(self, data: bytes) -> NDArray[np.float32]:
        """The bytes of one image file to its fused vector (dim,) float32."""
        vector: NDArray[np.float32] = self.encode([self.prepare(data)])[0]
        return vector

    def _probe(self, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
        """A run over fixed pictures in a dtype, to compare dtypes with.

        From smooth to pure noise: rounding shows in fine structure first.
        """
        import torch

        generator = torch.Generator().manual_seed(0)
        size = self.preprocess.size
        pixels = torch.cat(
            [
                torch.nn.functional.interpolate(
                    torch.rand((1, 3, cells, cells), generator=generator) * 4.0 - 2.0, size=size
                )
                for cells in (7, size // 8, size // 2, size)
            ]
        )  # (4, 3, size, size)
        pixels = pixels.contiguous(memory_format=torch.channels_last).to(self.device)
        # A copy, because weights rounded to 16 bits cannot be brought back if the dtype is refused.
        backbone = copy.deepcopy(self._backbone)
        backbone.to(self.device, dtype)

        def run() -> torch.Tensor:
            with torch.inference_mode():
                return backbone.image_features(pixels)

        return run


def load_embedder(
    spec: str, *, device: str = "auto", dtype: str = "auto", max_pixels: int = images.MAX_PIXELS
) -> Embedder:
    """The embedder that a setting names: `lite` or ``architecture/pretrained`` of open_clip.

    Raises:
        ConfigError: the name, device or dtype is unknown, or a package or the weights are missing.
    """
    backbone: Backbone
    if spec == "lite":
        from geosearch.encoder.lite import LiteBackbone

        backbone = LiteBackbone()
    else:
        from geosearch.encoder.backbone import ClipBackbone

        backbone = ClipBackbone(spec)
    return Embedder(backbone, device=device, dtype=dtype, max_pixels=max_pixels)
