"""The heads over frozen features: one space for images, texts and coordinates.

Works on features of a backbone, never on pictures or words; losses live in `losses`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from geosearch.encoder import geoclip
from geosearch.encoder.location import LocationEncoder
from geosearch.errors import ConfigError

PAIRS = ("image_text", "image_location", "text_location")
"""The pairs that are contrasted; each has its own temperature."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shapes of the heads and the range of the temperatures.

    Raises:
        ConfigError: the numbers do not fit together.
    """

    image_dim: int
    text_dim: int
    block_dim: int  # of each of the three blocks of a fused vector
    location_dim: int = 512  # as the location encoder's embed_dim
    hidden: int = 512  # of the residual MLP of each head
    dropout: float = 0.1
    geoclip_heads: bool = False  # GeoCLIP's image MLP is the base of the heads towards locations
    logit_scale_init: float = 1.0 / 0.07  # as CLIP and GeoCLIP begin
    logit_scale_min: float = 1.0
    logit_scale_max: float = 100.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.location_dim > self.block_dim:
            raise ConfigError(
                f"block_dim={self.block_dim} is narrower than location_dim={self.location_dim}; "
                "a block must hold the location space"
            )
        if not 0.0 < self.logit_scale_min <= self.logit_scale_init <= self.logit_scale_max:
            raise ConfigError(
                f"logit_scale_init={self.logit_scale_init:g} must lie within logit_scale_min="
                f"{self.logit_scale_min:g} and logit_scale_max={self.logit_scale_max:g}, above 0"
            )
        shapes = (self.image_dim, self.text_dim, self.location_dim)
        if self.geoclip_heads and shapes != (768, 768, 512):
            raise ConfigError(
                "GeoCLIP's image MLP maps ViT-L/14 features (768) to 512; given: "
                f"image_dim, text_dim, location_dim = {shapes}"
            )

    @property
    def text_aligned_dim(self) -> int:
        """Width of the space of images and texts: the text features' own, cut at a block."""
        return min(self.text_dim, self.block_dim)


class Head(nn.Module):
    """A base map plus a residual MLP that starts as zero: (n, inputs) to (n, outputs).

    Args:
        inputs: width of the features.
        outputs: width of the space.
        config: hidden width and dropout.
        base: the map before training, on features as they come. Without one, features are
            L2-normalised and kept where the widths agree; else they go through a matrix with
            orthonormal rows or columns, which keeps cosines as well as a matrix can.
    """

    def __init__(
        self, inputs: int, outputs: int, config: ModelConfig, base: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.normalizes = base is None
        if base is None and inputs == outputs:
            base = nn.Identity()
        elif base is None:
            matrix = nn.Linear(inputs, outputs, bias=False)
            nn.init.orthogonal_(matrix.weight)
            base = matrix
        self.base = base
        self.norm = nn.LayerNorm(inputs)
        self.up = nn.Linear(inputs, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.down = nn.Linear(config.hidden, outputs)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, inputs) to the space (n, outputs) float32, L2-normalised."""
        direct = self.base(functional.normalize(features, dim=-1) if self.normalizes else features)
        learned = self.down(self.dropout(functional.gelu(self.up(self.norm(features)))))
        return functional.normalize((direct + learned).float(), dim=-1)


class TransGeoClip(nn.Module):
    """Two image heads, two text heads, a location head, three temperatures, a location encoder.

    Takes features as the backbone gives them, not normalised: GeoCLIP's MLP was trained on such;
    the other heads do not mind. Untrained, each head is its base map.

    Args:
        config: shapes; weights are drawn from its seed.
        location: the encoder of coordinates, a part of the model from now on.

    Raises:
        ConfigError: the location encoder's embed_dim is not location_dim.

    Source: arXiv 2606.08918.
    """

    def __init__(self, config: ModelConfig, location: LocationEncoder) -> None:
        super().__init__()
        if location.config.embed_dim != config.location_dim:
            raise ConfigError(
                f"the location encoder gives {location.config.embed_dim} numbers, "
                f"the config says location_dim={config.location_dim}"
            )
        self.config = config
        self.location = location
        image, text, place = config.image_dim, config.text_dim, config.location_dim
        mlp = _geoclip_mlp if config.geoclip_heads else lambda: None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.image_to_text = Head(image, config.text_aligned_dim, config)
            self.text_to_text = Head(text, config.text_aligned_dim, config)
            self.image_to_location = Head(image, place, config, mlp())
            self.text_to_location = Head(text, place, config, mlp())
            self.location_to_location = Head(place, place, config)
        scale = math.log(config.logit_scale_init)
        self.logit_scale_image_text = nn.Parameter(torch.tensor(scale))
        self.logit_scale_image_location = nn.Parameter(torch.tensor(scale))
        self.logit_scale_text_location = nn.Parameter(torch.tensor(scale))

    @classmethod
    def from_geoclip(
        cls, config: ModelConfig | None = None, location: LocationEncoder | None = None
    ) -> TransGeoClip:
        """The model that places ViT-L-14/openai features without any training of ours.

        GeoCLIP's image MLP is the base of both heads towards locations (its authors ask it with
        text features too), its location encoder the base of the location block.

        Raises:
            MissingDependency: the extra `geoclip` is not installed.
            ConfigError: the config lacks `geoclip_heads`, or has other shapes.
        """
        config = config or ModelConfig(768, 768, 768, geoclip_heads=True)
        if not config.geoclip_heads:
            raise ConfigError("from_geoclip needs a config with geoclip_heads=True")
        model = cls(config, LocationEncoder.from_geoclip() if location is None else location)
        trained = geoclip_image_mlp().state_dict()
        model.image_to_location.base.load_state_dict(trained)
        model.text_to_location.base.load_state_dict(trained)
        with torch.no_grad():
            model.logit_scale_image_location.fill_(geoclip.log_logit_scale())
        model.clamp_logit_scales()
        return model

    def encode_images(self, image_features: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, image_dim) to (n, text_aligned_dim) and (n, location_dim), L2-normalised."""
        return self.image_to_text(image_features), self.image_to_location(image_features)

    def encode_texts(self, text_features: Tensor) -> tuple[Tensor, Tensor]:
        """Texts (n, text_dim) to (n, text_aligned_dim) and (n, location_dim), L2-normalised."""
        return self.text_to_text(text_features), self.text_to_location(text_features)

    def encode_locations(self, lat_lon: Tensor) -> Tensor:
        """Coordinates (n, 2) in degrees to (n, location_dim), L2-normalised."""
        encoded: Tensor = self.location_to_location(self.location(lat_lon))
        return encoded

    def image_blocks(self, image_features: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, image_dim) to text- and location-aligned blocks, both (n, block_dim)."""
        text_aligned, location_aligned = self.encode_images(image_features)
        return self._block(text_aligned), self._block(location_aligned)

    def text_blocks(self, text_features: Tensor) -> tuple[Tensor, Tensor]:
        """Texts (n, text_dim) to text- and location-aligned blocks, both (n, block_dim)."""
        text_aligned, location_aligned = self.encode_texts(text_features)
        return self._block(text_aligned), self._block(location_aligned)

    def location_block(self, lat_lon: Tensor) -> Tensor:
        """Coordinates (n, 2) in degrees to location-aligned blocks (n, block_dim)."""
        return self._block(self.encode_locations(lat_lon))

    def logit_scale(self, pair: str) -> Tensor:
        """The factor () on the cosines of one of `PAIRS`, within its limits."""
        log_scale: Tensor = getattr(self, f"logit_scale_{pair}")
        # The gradient passes the limit, or a temperature that rests on it could never leave it.
        limited = log_scale + (log_scale.clamp(*self._log_limits()) - log_scale).detach()
        return limited.exp()

    @torch.no_grad()
    def clamp_logit_scales(self) -> None:
        """Bring the temperatures back within their limits; call it after each step of training."""
        for pair in PAIRS:
            getattr(self, f"logit_scale_{pair}").clamp_(*self._log_limits())

    def _log_limits(self) -> tuple[float, float]:
        return math.log(self.config.logit_scale_min), math.log(self.config.logit_scale_max)

    def _block(self, features: Tensor) -> Tensor:
        """Pad with zeros, which keep every cosine, so that the three blocks have one width."""
        return functional.pad(features, (0, self.config.block_dim - features.shape[-1]))


def geoclip_image_mlp() -> nn.Sequential:
    """GeoCLIP's trained image MLP: CLIP ViT-L/14 features (n, 768), raw, to (n, 512).

    Raises:
        MissingDependency: the extra `geoclip` is not installed.

    Source: geoclip 1.3.0, `model/image_encoder.py` and its weights (MIT).
    """
    mlp = _geoclip_mlp()
    mlp.load_state_dict(geoclip.image_mlp_weights())
    return mlp


def _geoclip_mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(768, 768), nn.ReLU(), nn.Linear(768, 512))
