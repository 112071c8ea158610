"""What a call costs by its tokens, and the most that it can have of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geosearch.lmm.calls import Call

_OVERHEAD_TOKENS = 1000
"""Turn marks, and the schema that some providers write into the prompt."""

_PIXELS_PER_TOKEN = 300.0
"""Published counts are 400 to 1,000 pixels a token (OpenAI's and Gemini's tiles, Claude's
width x height / 750, Qwen's 28 x 28 patches)."""

_MINI_FACTOR = 34.0
"""gpt-4o-mini bills a picture with 33.3 times the tokens of gpt-4o (2,833 + 5,667 a tile)."""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a token of the prompt and of the reply."""

    input_usd: float
    output_usd: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Prices:
        """The prices of an entry in LiteLLM's words; a missing price of replies is 0."""
        return cls(
            float(given["input_cost_per_token"]), float(given.get("output_cost_per_token") or 0.0)
        )

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The cost of so many tokens."""
        return prompt_tokens * self.input_usd + completion_tokens * self.output_usd


def most_tokens(model: str, call: Call) -> int:
    """An upper bound of the prompt's tokens: no tokenizer makes more of them than bytes."""
    texts = [call.text, *(text for turn in call.turns for text in turn)]
    pixels = call.picture.width * call.picture.height
    # Tiles are billed whole, so a small picture costs more a pixel than a large one.
    picture = 1600.0 + pixels / _PIXELS_PER_TOKEN
    if "gpt-4o-mini" in model:
        picture *= _MINI_FACTOR
    return sum(len(text.encode()) for text in texts) + math.ceil(picture) + _OVERHEAD_TOKENS
