"""The trainable parts of the location encoder: one MLP a scale, and the two that attend.

The two give residuals that start as zero; `location` puts the parts together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from geosearch.encoder.location import LocationConfig


def scale_mlp(config: LocationConfig) -> nn.Sequential:
    """The MLP of one scale: Fourier features (n, 2 frequencies) to its token (n, embed_dim)."""
    return nn.Sequential(
        nn.Linear(2 * config.frequencies, config.hidden),
        nn.ReLU(inplace=True),
        nn.Linear(config.hidden, config.hidden),
        nn.ReLU(inplace=True),
        nn.Linear(config.hidden, config.hidden),
        nn.ReLU(inplace=True),
        nn.Linear(config.hidden, config.embed_dim),
    )


class ScaleTransformer(nn.Module):
    """Lets the scales of one coordinate see each other; its output starts as zero."""

    def __init__(self, config: LocationConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(config.embed_dim)
        self.into = nn.Linear(config.embed_dim, width)
        self.scales = nn.Parameter(0.02 * torch.randn(len(config.sigmas), width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config.heads,
                4 * width,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.out_norm = nn.LayerNorm(width)
        self.out = _zero_linear(width, config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scale tokens (n, n_scales, embed_dim) to what to add to their sum (n, embed_dim)."""
        hidden = self.into(self.norm(tokens)) + self.scales  # (n, n_scales, width)
        for block in self.blocks:
            hidden = block(hidden)
        added: Tensor = self.out(self.out_norm(hidden.mean(dim=1)))
        return added  # (n, embed_dim)


class LocationAttention(nn.Module):
    """A point asks its nearest anchors; the farther, the fainter; its output starts as zero.

    Logits are q·k/√d − λ·distance with one λ > 0 a head, learned as its logarithm.
    """

    def __init__(self, config: LocationConfig) -> None:
        super().__init__()
        width, self.n_heads = config.attention_width, config.attention_heads
        self.query_norm = nn.LayerNorm(config.embed_dim)
        self.query = nn.Linear(config.embed_dim, width)
        self.anchor_norm = nn.LayerNorm(config.embed_dim)
        self.key = nn.Linear(config.embed_dim, width)
        self.value = nn.Linear(config.embed_dim, width)
        # From heads that see one anchor to heads that see all k, as in ALiBi.
        self.log_decay = nn.Parameter(torch.linspace(math.log(4.0), math.log(0.25), self.n_heads))
        self.dropout = nn.Dropout(config.dropout)
        self.out = _zero_linear(width, config.embed_dim)

    def keys_values(self, anchor_features: Tensor) -> tuple[Tensor, Tensor]:
        """Anchor features (a, embed_dim) to keys and values, both (a, n_heads, d_head)."""
        anchors = self.anchor_norm(anchor_features)
        heads = (self.n_heads, -1)
        keys = self.key(anchors).unflatten(-1, heads)  # (a, n_heads, d_head)
        values = self.value(anchors).unflatten(-1, heads)  # (a, n_heads, d_head)
        return keys, values

    def forward(self, features: Tensor, keys: Tensor, values: Tensor, distances: Tensor) -> Tensor:
        """What the neighbors add to the features of a point.

        Args:
            features: (n, embed_dim).
            keys: (n, k, n_heads, d_head).
            values: (n, k, n_heads, d_head).
            distances: (n, k) float32, in units of the spacing of the anchors.

        Returns:
            (n, embed_dim).
        """
        weights = self.dropout(self.weights(features, keys, distances)).to(values.dtype)
        context = torch.einsum("nhk,nkhd->nhd", weights, values).flatten(1)  # (n, h · d)
        added: Tensor = self.out(context)
        return added

    def weights(self, features: Tensor, keys: Tensor, distances: Tensor) -> Tensor:
        """How much each head listens to each neighbor: (n, n_heads, k) float32, summing to 1."""
        query = self.query(self.query_norm(features)).unflatten(-1, (self.n_heads, -1))  # (n, h, d)
        similarity = torch.einsum("nhd,nkhd->nhk", query, keys).float() / math.sqrt(keys.shape[-1])
        far = self.log_decay.float().exp()[:, None] * distances[:, None]  # (n, h, k)
        return (similarity - far).softmax(dim=-1)


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
