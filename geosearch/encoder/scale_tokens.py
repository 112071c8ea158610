"""Scale tokens computed once: what frozen scale MLPs say of coordinates that come again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MOST = 250_000
"""Coordinates that are remembered at most, 6 KB each; the others are computed as before."""


class ScaleTokens:
    """The tokens of known coordinates, found by the bits of the coordinate.

    Not a part of any state: the MLPs that made them are, and those do not change.

    Args:
        lat_lon: (n, 2) float32 degrees; each distinct one is remembered, up to `MOST` of them.
        encode: coordinates (m, 2) to tokens (m, n_scales, d).
        made_by: fingerprint of the MLPs.
        chunk: coordinates encoded together.
    """

    def __init__(
        self,
        lat_lon: Tensor,
        encode: Callable[[Tensor], Tensor],
        *,
        made_by: tuple[float, ...],
        chunk: int = 4096,
    ) -> None:
        self.made_by = made_by
        distinct = _coordinates(torch.unique(_keys(lat_lon))[:MOST])
        self._keys = _keys(distinct)  # (m,), ascending
        with torch.no_grad():
            self._tokens = torch.cat([encode(part) for part in torch.split(distinct, chunk)])

    def __deepcopy__(self, memo: object) -> ScaleTokens:
        """Copies of an encoder share what is remembered."""
        return self

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, lat_lon: Tensor) -> Tensor | None:
        """The tokens (n, n_scales, d) of coordinates (n, 2); None unless all are known."""
        keys = _keys(lat_lon)
        rows = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        if not torch.equal(self._keys[rows], keys):
            return None
        return self._tokens[rows]


def _keys(lat_lon: Tensor) -> Tensor:
    """The bits of each coordinate as one integer (n,)."""
    # + 0.0 makes one zero of -0.0 and 0.0.
    return (lat_lon.float() + 0.0).contiguous().view(torch.int64)[:, 0]


def _coordinates(keys: Tensor) -> Tensor:
    """Back from integers (n,) to coordinates (n, 2)."""
    return keys[:, None].view(torch.float32)
