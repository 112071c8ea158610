"""From the bytes of a photo to its fused vector: the one object that ingest and search share."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geosearch import images
from geosearch.encoder.base import Backbone
from geosearch.encoder.device import choose_device, choose_dtype, fast_dtypes
from geosearch.encoder.fusion import fuse
from geosearch.encoder.identity import EncoderIdentity
from geosearch.encoder.preprocess import DRAFT_MARGIN
from geosearch.errors import ConfigError
from geosearch.geo import Coordinate

if TYPE_CHECKING:
    import torch

    from geosearch.encoder.checkpoints import Checkpoint
    from geosearch.encoder.model import TransGeoClip

logger = logging.getLogger(__name__)


class Embedder:
    """Encodes photos, words and coordinates; safe for threads.

    Threads `prepare` side by side, but the model runs for one at a time: it uses all cores by
    itself, and two batches at once would only slow each other down.

    Args:
        backbone: the frozen encoder pair.
        heads: the trained part, if there is one.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        max_pixels: refuse pictures with more.

    Raises:
        ConfigError: the device or dtype does not exist here, or the heads give other blocks.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        heads: TrainedHeads | None = None,
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
        self._heads = None
        self._is_location_tuned = False
        self._model_lock = threading.RLock()
        self.identity = identity_of(backbone)
        if heads is not None:
            if heads.model.config.block_dim != backbone.image_dim:
                raise ConfigError(
                    f"these heads give blocks of {heads.model.config.block_dim}, the backbone "
                    f"features of {backbone.image_dim}; train heads for this encoder"
                )
            self._heads = heads.model.to(self.device).eval()
            self.identity = replace(self.identity, heads=heads.heads_id, location=heads.location_id)
        self.dim = 3 * backbone.image_dim
        logger.info("encoder %s on %s, %s", self.identity, self.device, self.dtype)

    @property
    def has_location_space(self) -> bool:
        """Whether coordinates can be encoded: with heads, trained here or GeoCLIP's."""
        return self._heads is not None

    @property
    def has_alike_blocks(self) -> bool:
        """Whether the three blocks of every photo's vector are the same: without heads they are."""
        return self._heads is None

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
        with self._model_lock, torch.inference_mode():
            features = self._backbone.image_features(self.preprocess.normalize(batch))
        on_host: NDArray[np.float32] = features.cpu().numpy()
        return on_host  # (n, image_dim)

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to backbone features (n, text_dim) float32, before any head."""
        with self._model_lock:
            return self._backbone.text_features(texts)

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepared pictures to fused vectors (n, dim) float32, L2-normalised.

        Without heads the text- and location-aligned blocks are the image feature itself, so the
        cosine of two vectors is the cosine of the two images.
        """
        import torch

        features = self.image_features(pixels)
        if self._heads is None:
            return fuse(visual=features, text_aligned=features, location_aligned=features)
        with self._model_lock, torch.inference_mode():
            blocks = self._heads.image_blocks(torch.from_numpy(features).to(self.device))
        text_aligned, location_aligned = (block.cpu().numpy() for block in blocks)
        return fuse(visual=features, text_aligned=text_aligned, location_aligned=location_aligned)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to fused queries (n, dim) float32; the location block stays empty.

        Raises:
            ConfigError: this encoder cannot compare texts with images.
        """
        import torch

        features = self.text_features(texts)
        joint = features if self._backbone.has_joint_space else None
        if self._heads is not None:
            with self._model_lock, torch.inference_mode():
                aligned, _ = self._heads.text_blocks(torch.from_numpy(features).to(self.device))
            return fuse(visual=joint, text_aligned=aligned.cpu().numpy())
        if joint is None:
            raise ConfigError(
                f"the encoder {self.identity.backbone} cannot compare texts with images without "
                "trained heads; run `geosearch train` and `geosearch encoders activate`, or set "
                "GEOSEARCH_ENCODER to a CLIP model"
            )
        return fuse(visual=joint, text_aligned=joint)

    def encode_locations(self, coordinates: Sequence[Coordinate]) -> NDArray[np.float32]:
        """Coordinates to fused queries (n, dim) float32; only the location block is filled.

        Raises:
            ConfigError: this encoder has no location space.
        """
        import torch

        if self._heads is None:
            raise ConfigError(
                f"the encoder {self.identity.backbone} has no location space without trained "
                "heads; run `geosearch train` and `geosearch encoders activate`, or install "
                "geosearch[geoclip] and use ViT-L-14/openai; to filter by place use --near"
            )
        lat_lon = torch.tensor([(place.lat, place.lon) for place in coordinates])  # (n, 2)
        with self._model_lock:
            if not self._is_location_tuned:
                self._heads.location.choose_compute_dtype()  # measured once, when first needed
                self._is_location_tuned = True
            with torch.inference_mode():
                block = self._heads.location_block(lat_lon.to(self.device))
        return fuse(location_aligned=block.cpu().numpy())

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


@dataclass(frozen=True, slots=True)
class TrainedHeads:
    """Heads and location encoder, and what stands for their weights in the encoder identity."""

    model: TransGeoClip
    heads_id: str
    location_id: str


def identity_of(backbone: Backbone) -> EncoderIdentity:
    """The identity of a backbone without heads."""
    return EncoderIdentity(
        backbone=backbone.name,
        weights=backbone.weights,
        activation=backbone.activation,
        preprocess=str(backbone.preprocess),
    )


def load_embedder(
    spec: str,
    *,
    checkpoint: Checkpoint | None = None,
    device: str = "auto",
    dtype: str = "auto",
    max_pixels: int = images.MAX_PIXELS,
) -> Embedder:
    """The embedder that a setting names: `lite` or ``architecture/pretrained`` of open_clip.

    Args:
        spec: the backbone.
        checkpoint: trained heads for it. Without any, ViT-L-14/openai takes GeoCLIP's where the
            extra `geoclip` is installed.
        device: where to run.
        dtype: number format.
        max_pixels: refuse pictures with more.

    Raises:
        ConfigError: the name, device or dtype is unknown, a package or the weights are missing, or
            the checkpoint is for another backbone.
    """
    backbone: Backbone
    if spec == "lite":
        from geosearch.encoder.lite import LiteBackbone

        backbone = LiteBackbone()
    else:
        from geosearch.encoder.backbone import ClipBackbone

        backbone = ClipBackbone(spec)
    heads = _load_heads(spec, backbone, checkpoint)
    return Embedder(backbone, heads=heads, device=device, dtype=dtype, max_pixels=max_pixels)


def _load_heads(
    spec: str, backbone: Backbone, checkpoint: Checkpoint | None
) -> TrainedHeads | None:
    if checkpoint is not None:
        from geosearch.encoder.checkpoints import load_checkpoint

        model = load_checkpoint(checkpoint.folder, encoder=str(identity_of(backbone)))
        return TrainedHeads(model, checkpoint.heads, checkpoint.location)
    if spec == "ViT-L-14/openai" and find_spec("geoclip") is not None:
        from geosearch.encoder.model import TransGeoClip

        version = f"geoclip-{metadata.version('geoclip')}"
        return TrainedHeads(TransGeoClip.from_geoclip(), version, version)
    return None
