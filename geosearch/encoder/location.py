"""Where on Earth as numbers: (lat, lon) to (embed_dim,), a pure function of the one coordinate.

Projection, Fourier features, one MLP a scale, a Transformer over the scales, attention to a fixed
bank of anchors. GeoCLIP's weights warm-start it. Heads live in `model`, losses in `losses`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geosearch.encoder import geoclip
from geosearch.encoder.attention import LocationAttention, ScaleTransformer, scale_mlp
from geosearch.encoder.device import choose_dtype, fast_dtypes
from geosearch.encoder.scale_tokens import ScaleTokens
from geosearch.encoder.sphere import (
    checked_degrees,
    chords_to_km,
    equal_earth,
    fibonacci_lattice,
    fourier_features,
    median_spacing_km,
    spread_out,
    unit_vectors,
)
from geosearch.errors import ConfigError

CHUNK = 4096
"""Coordinates in one step of inference, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class LocationConfig:
    """Shapes of a location encoder; the defaults are GeoCLIP's where GeoCLIP has them.

    Raises:
        ConfigError: the numbers do not fit together.
    """

    sigmas: tuple[float, ...] = (1.0, 16.0, 256.0)  # of the Fourier frequencies, one a scale
    frequencies: int = 256
    hidden: int = 1024
    embed_dim: int = 512
    layers: int = 1  # of the Transformer over the scales; 0 leaves it out
    width: int = 128  # narrow: three tokens need little, and the encoder stays quick
    heads: int = 4
    anchors: int = 3000  # of the gallery: 116 km apart, by the median
    neighbors: int = 16  # anchors that a point attends to; 0 leaves location attention out
    attention_width: int = 128
    attention_heads: int = 4
    dropout: float = 0.0  # in the two new parts only
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            not self.sigmas
            or self.width % self.heads
            or self.attention_width % self.attention_heads
        ):
            raise ConfigError("a location encoder needs sigmas, and widths that its heads divide")
        if not 0 <= self.neighbors <= self.anchors:
            raise ConfigError(
                f"{self.neighbors} neighbors of {self.anchors} anchors: choose 0 to {self.anchors}"
            )


def geoclip_anchors(count: int) -> Tensor:
    """Coordinates (count, 2) spread over GeoCLIP's gallery; some seconds of work for thousands.

    Raises:
        MissingDependency: the extra `geoclip` is not installed.
    """
    gallery = geoclip.gallery()
    return gallery[spread_out(unit_vectors(gallery), count)]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a forward pass multiplies with: the modules, or their copies in a faster format.

    `keys_values` are those of all anchors where weights stay as they are, and None in training.
    """

    capsules: nn.ModuleList
    mixer: ScaleTransformer | None
    attention: LocationAttention | None
    keys_values: tuple[Tensor, Tensor] | None


class LocationEncoder(nn.Module):
    """Coordinates (n, 2) in degrees to location features (n, embed_dim) float32, not normalised.

    Both new parts start as residuals of zero, so with GeoCLIP's weights the encoder begins as
    GeoCLIP's. As there, +180 and -180 are different inputs and a pole is a line, not a point: the
    features jump at the antimeridian; the distances to the anchors do not.

    In eval mode without gradients it computes in `compute_dtype`, in steps of `CHUNK`, with the
    keys and values of the anchors kept; in float32 a coordinate gets the same features to 1e-6 in
    any batch.

    Args:
        config: shapes; weights and frequencies are drawn from its seed.
        anchors: (config.anchors, 2) degrees; a Fibonacci lattice if not given.
        weights_follow: leave out what weights that are loaded next make useless.

    Source: arXiv 2606.08918; shapes from https://github.com/VicenteVivan/geo-clip (MIT), 1.3.0.
    """

    frequencies: Tensor
    anchors: Tensor
    anchor_vectors: Tensor
    anchor_features: Tensor
    anchor_spacing_km: Tensor

    def __init__(
        self,
        config: LocationConfig | None = None,
        *,
        anchors: Tensor | None = None,
        weights_follow: bool = False,
    ) -> None:
        super().__init__()
        self.config = config = config or LocationConfig()
        self.compute_dtype = torch.float32
        self._cache: tuple[object, _Parts] | None = None
        self._scale_tokens: ScaleTokens | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            sigmas = torch.tensor(config.sigmas)[:, None, None]
            drawn = sigmas * torch.randn(len(sigmas), config.frequencies, 2)
            self.register_buffer("frequencies", drawn)
            self.capsules = nn.ModuleList(scale_mlp(config) for _ in config.sigmas)
            self.mixer = ScaleTransformer(config) if config.layers else None
            self.attention = LocationAttention(config) if config.neighbors else None
        if config.neighbors:
            anchors = fibonacci_lattice(config.anchors) if anchors is None else anchors
            if len(anchors) != config.anchors:
                raise ConfigError(f"{len(anchors)} anchors given, the config has {config.anchors}")
            vectors = unit_vectors(anchors)
            self.register_buffer("anchors", anchors)
            self.register_buffer("anchor_vectors", vectors)
            self.register_buffer("anchor_spacing_km", median_spacing_km(vectors))
            self.register_buffer("anchor_features", torch.zeros(len(vectors), config.embed_dim))
            if not weights_follow:
                self.refresh_anchors()

    @classmethod
    def from_geoclip(
        cls, config: LocationConfig | None = None, *, anchors: Tensor | None = None
    ) -> LocationEncoder:
        """The encoder with GeoCLIP's trained weights.

        Args:
            config: shapes, as GeoCLIP's where it has them.
            anchors: (config.anchors, 2) degrees; spread over GeoCLIP's gallery if not given.

        Raises:
            MissingDependency: the extra `geoclip` is not installed.
            ConfigError: the config has other shapes than GeoCLIP's.
        """
        config = config or LocationConfig()
        weights = geoclip.location_weights()
        if config.neighbors and anchors is None:
            anchors = geoclip_anchors(config.anchors)
        encoder = cls(config, anchors=anchors, weights_follow=True)
        try:
            encoder.frequencies.copy_(
                torch.stack([weights[f"LocEnc{scale}.capsule.0.b"] for scale in range(3)])
            )
            for scale, capsule in enumerate(encoder.capsules):
                for number, source in enumerate(("capsule.1", "capsule.3", "capsule.5", "head.0")):
                    state = {
                        name: weights[f"LocEnc{scale}.{source}.{name}"]
                        for name in ("weight", "bias")
                    }
                    capsule.get_submodule(str(2 * number)).load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(
                "GeoCLIP's weights have 3 sigmas, 256 frequencies, hidden 1024 and embed_dim 512; "
                f"given: {config}"
            ) from error
        encoder.refresh_anchors()
        return encoder

    def forward(self, lat_lon: Tensor) -> Tensor:
        """Coordinates (n, 2), float32 or float64 degrees, to features (n, embed_dim) float32.

        Raises:
            InvalidCoordinate: a latitude outside ±90, a longitude outside ±180, or no number.
        """
        lat_lon = checked_degrees(lat_lon)
        if self.training or torch.is_grad_enabled():
            return self._encode(lat_lon, _Parts(self.capsules, self.mixer, self.attention, None))
        parts = self._prepared()
        return torch.cat([self._encode(chunk, parts) for chunk in torch.split(lat_lon, CHUNK)])

    @torch.no_grad()
    def nearest_anchors(self, lat_lon: Tensor) -> tuple[Tensor, Tensor]:
        """Great-circle distances (n, k) in km to the nearest anchors, and their numbers (n, k)."""
        vectors = unit_vectors(lat_lon)  # (n, 3)
        similarity = vectors @ self.anchor_vectors.T  # (n, n_anchors)
        nearest = similarity.topk(self.config.neighbors, sorted=False).indices
        chords = (vectors[:, None] - self.anchor_vectors[nearest]).norm(dim=-1)  # (n, k)
        return chords_to_km(chords), nearest

    @torch.no_grad()
    def refresh_anchors(self) -> None:
        """Set what the anchors say of their places to the present sums of their scale tokens.

        It changes the function, and it is part of the state; between epochs of training at most.
        """
        if self.attention is None:
            return
        parts = _Parts(self.capsules, None, None, None)
        chunks = torch.split(self.anchors, CHUNK)
        self.anchor_features.copy_(torch.cat([self._encode(chunk, parts) for chunk in chunks]))

    def freeze_scales(self, lat_lon: Tensor) -> None:
        """Train the scale MLPs no further, and remember what they say of these coordinates.

        Coordinates (n, 2) that come again, as in every epoch, then cost a look-up instead of most
        of the arithmetic. Call it anew after weights were loaded or moved.
        """
        self.capsules.requires_grad_(False)
        known = [checked_degrees(lat_lon).to(self.frequencies.device)]
        if self.attention is not None:
            known.append(self.anchors)
        wanted, made_by = torch.cat(known), self._scales_fingerprint()
        old = self._scale_tokens
        if old is not None and old.made_by == made_by and old.find(wanted) is not None:
            return
        parts = _Parts(self.capsules, None, None, None)
        self._scale_tokens = None  # or the old ones would be remembered again
        self._scale_tokens = ScaleTokens(
            wanted, lambda chunk: self._tokens(chunk, parts), made_by=made_by, chunk=CHUNK
        )

    def share_scales(self, other: LocationEncoder) -> None:
        """Look up what another encoder with the same, frozen scale MLPs remembers.

        Raises:
            ConfigError: the MLPs differ, or the other remembers nothing.
        """
        tokens = other._scale_tokens
        if tokens is None or tokens.made_by != self._scales_fingerprint():
            raise ConfigError("scale tokens can be shared by encoders with the same frozen MLPs")
        self.capsules.requires_grad_(False)
        self._scale_tokens = tokens

    def _scales_fingerprint(self) -> tuple[float, ...]:
        """Numbers that change when the weights of the scale MLPs do."""
        weights = (self.frequencies, *self.capsules.state_dict().values())
        return tuple(float(weight.double().square().sum()) for weight in weights)

    def choose_compute_dtype(self, name: str = "auto") -> torch.dtype:
        """Set `compute_dtype`: with `auto` the fastest whose cosine to float32 is at least 0.999.

        Raises:
            ConfigError: the name is none of `device.DTYPES`.
        """
        device = self.frequencies.device
        probe = fibonacci_lattice(CHUNK).to(device)  # (CHUNK, 2)

        def prepare(dtype: torch.dtype) -> Callable[[], Tensor]:
            trial = copy.deepcopy(self).eval()
            trial.compute_dtype = dtype
            return torch.no_grad()(lambda: trial(probe))

        self.compute_dtype = choose_dtype(name, device, prepare, candidates=fast_dtypes(device))
        return self.compute_dtype

    def train(self, mode: bool = True) -> LocationEncoder:
        """Switch between training and inference, and drop what inference had prepared."""
        self._cache = None
        return super().train(mode)

    def _tokens(self, lat_lon: Tensor, parts: _Parts) -> Tensor:
        """What each scale says of coordinates (n, 2): (n, n_scales, embed_dim)."""
        dtype = next(parts.capsules.parameters()).dtype
        known = None if self._scale_tokens is None else self._scale_tokens.find(lat_lon)
        if known is not None:
            return known.to(dtype)
        points = equal_earth(lat_lon)  # (n, 2)
        tokens = [
            capsule(fourier_features(points, frequencies).to(dtype))
            for capsule, frequencies in zip(parts.capsules, self.frequencies, strict=True)
        ]
        return torch.stack(tokens, dim=1)  # (n, n_scales, embed_dim)

    def _encode(self, lat_lon: Tensor, parts: _Parts) -> Tensor:
        tokens = self._tokens(lat_lon, parts)  # (n, n_scales, embed_dim)
        dtype = tokens.dtype
        features = tokens.sum(dim=1, dtype=torch.float32)  # (n, embed_dim)
        if parts.mixer is not None:
            features = features + parts.mixer(tokens)
        if parts.attention is not None:
            distances_km, nearest = self.nearest_anchors(lat_lon)  # (n, k), (n, k)
            keys_values = parts.keys_values
            if keys_values is None:  # only of the anchors that are heard: a batch hears few
                heard, nearest = torch.unique(nearest, return_inverse=True)  # (m,), (n, k)
                keys_values = parts.attention.keys_values(self.anchor_features[heard])
            keys, values = (part[nearest] for part in keys_values)  # (n, k, n_heads, d_head)
            spacings = distances_km / self.anchor_spacing_km
            features = features + parts.attention(features.to(dtype), keys, values, spacings)
        return features

    def _parts(self, dtype: torch.dtype) -> _Parts:
        source = self if dtype == torch.float32 else copy.deepcopy(self).to(dtype)
        capsules, mixer, attention = source.capsules, source.mixer, source.attention
        keys_values = None
        if attention is not None:
            keys_values = attention.keys_values(self.anchor_features.to(attention.key.weight.dtype))
        return _Parts(capsules, mixer, attention, keys_values)

    def _prepared(self) -> _Parts:
        """Parts for inference, made again when a parameter or buffer was written or moved."""
        state = [
            (id(tensor), tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
            for tensor in (*self.parameters(), *self.buffers())
        ]
        if self._cache is None or self._cache[0] != (self.compute_dtype, state):
            self._cache = None  # not to be copied along
            self._cache = ((self.compute_dtype, state), self._parts(self.compute_dtype))
        return self._cache[1]
