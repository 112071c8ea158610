"""What is believed of each model after what this catalogue has observed, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.client.reasoning import known_of
from geosearch.errors import ConfigError
from geosearch.localization.learning import Learned
from geosearch.services import Services


@dataclass(frozen=True, slots=True)
class ModelTrust:
    """What agreement with one ranking of photos has taught about one model.

    Args:
        model: its name in lmm.yaml.
        deployments: LiteLLM's model strings behind that name.
        ranked_by: what put the photos' places in order.
        observations: photos about which both said something.
        agreed: how often both said the same.
        first: day (ISO 8601) of the oldest observation kept.
        last: day of the newest.
        rate: share of photos that the model is believed to locate within 25 km.
        reach: share of photos that the photos found are believed to.
    """

    model: str
    deployments: str
    ranked_by: str
    observations: int
    agreed: int
    first: str
    last: str
    rate: float
    reach: float


def model_trust(services: Services) -> list[ModelTrust]:
    """What is believed of each model that anything was observed of.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    learned = Learned(services.lmm_observations, known=known_of(services.settings))
    found = []
    for one in services.lmm_observations.counts():
        trust = learned.trust(one.pairing)
        found.append(
            ModelTrust(
                one.pairing.model,
                one.pairing.deployments,
                one.pairing.ranked_by,
                one.observations,
                one.agreed,
                one.first.isoformat(),
                one.last.isoformat(),
                trust.rate,
                one.pairing.stated if trust.reach is None else trust.reach.share,
            )
        )
    return found


def forget_model_trust(services: Services, model: str | None = None) -> int:
    """Forget what was observed of a model, or of all; how many observations there were.

    Raises:
        ConfigError: nothing was observed of a model of that name.
        CatalogueError: PostgreSQL refuses.
    """
    forgotten = services.lmm_observations.forget(model)
    if model is not None and not forgotten:
        known = {one.pairing.model for one in services.lmm_observations.counts()}
        raise ConfigError(
            f"nothing was learned of a model named {model!r}; of these something was: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    return forgotten
