"""One call of a model: what is sent, what comes back, and the port through which it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from geosearch.lmm.config import Deployment
from geosearch.lmm.pictures import Picture

DEFAULT_MAX_TOKENS = 4096
"""Room for a reply and for the thoughts that some models count with it."""


class AnswerMode(StrEnum):
    """How a model is held to JSON, the strictest first."""

    SCHEMA = "schema"
    JSON = "json"
    PLAIN = "plain"


class CostSource(StrEnum):
    """Where a price comes from."""

    CONFIG = "config"
    """input_cost_per_token and output_cost_per_token in lmm.yaml."""
    PRICE_MAP = "litellm"
    """LiteLLM's price list, as bundled with the installed version."""
    OWN_SERVER = "own-server"
    """A server of one's own, as Ollama or vLLM: nobody sends a bill."""
    UNKNOWN = "unknown"
    """Nobody knows; the cost is not counted, and budgets refuse the model."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one deployment.

    Args:
        text: the prompt.
        picture: what is asked about.
        mode: how the reply is held to JSON.
        timeout_s: the most seconds for it.
        turns: (reply, correction) pairs that follow the prompt, for a repair.
    """

    text: str = field(repr=False)
    picture: Picture
    mode: AnswerMode
    timeout_s: float
    turns: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Args:
        text: the reply, empty if there was none.
        model: the model that the provider says has answered.
        finish: why it ended, as `stop` or `length`.
        prompt_tokens: as the provider counts them.
        completion_tokens: as the provider counts them.
        cost_usd: None when the price is not known.
        cost_source: where the price comes from.
    """

    text: str = field(repr=False)
    model: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    cost_source: CostSource


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that a call can cost in US dollars, None when the price is not known."""

    cost_usd: float | None
    cost_source: CostSource


class ModelClient(Protocol):
    """Whatever can put a call to a deployment; safe to use from many threads."""

    def complete(self, deployment: Deployment, call: Call) -> Reply:
        """The reply, once: no repetition, no fallback.

        Raises:
            LmmError: there is none, by its kind.
            ConfigError: the deployment cannot be called as configured.
        """

    def estimate(self, deployment: Deployment, call: Call) -> Estimate:
        """The most that the call can cost."""

    def refuses_pictures(self, deployment: Deployment) -> bool:
        """Whether the model is known to take no pictures."""

    def missing_keys(self, deployment: Deployment) -> tuple[str, ...]:
        """Environment variables of keys that the model needs and nobody gives."""

    def is_priced(self, deployment: Deployment) -> bool:
        """Whether its calls have a known price, be it 0."""
