"""What callers may ask of large multimodal models, checked before any is looked for."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LmmWishes:
    """How a large multimodal model is to help with a photo.

    Args:
        model: its name in lmm.yaml; by default that of the settings, or the first of the file.
        no_lmm: whether none is to be asked.
        hint: what the user knows or supposes of the place.
        samples: how often each question is asked, if not as the settings say.
        max_cost_usd: the most that may be spent, on all photos of one call together.

    Raises:
        ConfigError: wishes that do not go together, or a value out of range.
    """

    model: str | None = None
    no_lmm: bool = False
    hint: str | None = None
    samples: int | None = None
    max_cost_usd: float | None = None

    def __post_init__(self) -> None:
        if self.no_lmm and self.has_any:
            raise ConfigError(
                "a model, a hint, samples or a limit on cost were given for a large multimodal "
                "model, and also that none is to be asked (no_lmm); leave one of the two out"
            )
        if self.samples is not None and not 1 <= self.samples <= 20:
            raise ConfigError(f"samples is {self.samples}; ask each question 1 to 20 times")
        if self.max_cost_usd is not None and not self.max_cost_usd >= 0.0:
            raise ConfigError(
                f"the cost is limited to {self.max_cost_usd} US dollars; give 0 or more"
            )

    @property
    def has_any(self) -> bool:
        """Whether something is wished that only a model can fulfil."""
        given = (self.model, self.hint, self.samples, self.max_cost_usd)
        return any(wish is not None for wish in given)
