"""Whether each model of lmm.yaml can be asked: by what is written, and by asking it once."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image

from geosearch.errors import ConfigError, LmmError
from geosearch.lmm.accounts import Limits
from geosearch.lmm.answers import Answer, Refusal
from geosearch.lmm.asker import Advice, Asker
from geosearch.lmm.attempts import Question
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.fakes import MemoryLedger
from geosearch.lmm.pictures import Picture, prepare_picture
from geosearch.lmm.prompts import zero_shot_prompt
from geosearch.services import NO_LMM, Services

TINY = 64
"""Side of the picture that is sent, in pixels."""


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What was found of one entry of model_list.

    Args:
        name: its model_name.
        model: LiteLLM's model string.
        where: file and line.
        error: why it cannot be asked and what to do, None if it can.
        is_priced: whether its price is known, which limits on cost need; None if it cannot be told.
        reply: what came back, in words; None if it was not asked.
        answered_by: the model that the provider says has answered.
        cost_usd: of asking, None when the price is not known.
        seconds: of asking.
    """

    name: str
    model: str
    where: str
    error: str | None = None
    is_priced: bool | None = None
    reply: str | None = None
    answered_by: str | None = None
    cost_usd: float | None = None
    seconds: float | None = None


def check_models(services: Services, *, is_live: bool) -> Iterator[ModelCheck]:
    """Each entry of lmm.yaml, in order, as it is found to be.

    Args:
        services: of this installation.
        is_live: ask each with a tiny picture, which costs a fraction of a cent; what it costs is
            recorded and counts against the monthly budget.

    Raises:
        ConfigError: no model is configured, or the file as a whole cannot be used.
    """
    config = services.lmm_config
    if config is None:
        raise ConfigError(NO_LMM)
    for deployment in config.deployments:
        alone = replace(
            config,
            deployments=(deployment,),
            aliases={},
            fallbacks={},
            policy_fallbacks={},
            retries=0,
        )
        yield _checked(services, alone, deployment, is_live)


def _checked(
    services: Services, config: LmmConfig, deployment: Deployment, is_live: bool
) -> ModelCheck:
    found = ModelCheck(deployment.name, deployment.model, deployment.where)
    client = services.lmm_client
    limits = Limits(month_usd=services.settings.lmm_monthly_budget_usd)
    ledger = services.lmm_ledger if is_live else MemoryLedger()  # a dry check opens no engine
    asker = Asker(client, config, ledger, limits=limits, use_cache=False)
    start = time.perf_counter()
    try:
        asker.check(deployment.name)
        found = replace(found, is_priced=client.is_priced(deployment))
        if not is_live:
            return found
        question = Question(_tiny_picture(), zero_shot_prompt(), "config check")
        start = time.perf_counter()
        advice = asker.ask(question, deployment.name)
    except (ConfigError, LmmError) as error:
        seconds = time.perf_counter() - start if is_live else None
        return replace(found, error=str(error), seconds=seconds)
    return replace(
        found,
        reply=_words(advice),
        answered_by=advice.answered_by,
        cost_usd=advice.cost_usd,
        seconds=time.perf_counter() - start,
    )


def _tiny_picture() -> Picture:
    """Blue above, green below: a picture of which nobody can say where it is."""
    image = Image.new("RGB", (TINY, TINY), (120, 170, 230))
    image.paste((90, 140, 70), (0, TINY // 2, TINY, TINY))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return prepare_picture(buffer.getvalue())


def _words(advice: Advice) -> str:
    match advice.outcome:
        case Answer(coordinate):
            return f"an answer ({coordinate})"
        case Refusal():
            return "a refusal, which a picture of nothing deserves"
    return f"a reply that cannot be used: {advice.outcome.reason}"
