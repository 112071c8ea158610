"""LiteLLM: the sole importer of litellm, which is imported when a model is first asked.

Whatever it could fetch or report by itself is switched off; its exceptions become ours.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import threading
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from geosearch.errors import (
    ConfigError,
    LmmError,
    LmmPolicyRefusal,
    LmmRejected,
    LmmTimeout,
    LmmUnavailable,
)
from geosearch.lmm.answers import ANSWER_SCHEMA, clean_words
from geosearch.lmm.calls import (
    DEFAULT_MAX_TOKENS,
    AnswerMode,
    Call,
    CostSource,
    Estimate,
    Reply,
)
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.pricing import Prices, most_tokens

# Set before the import, and whatever the environment says: no price list, no header list, no other
# catalogue is fetched, and no .env file of the working directory is read.
_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_MODE": "PRODUCTION",
}
_CALLBACKS = ("callbacks", "input_callback", "success_callback", "failure_callback",
              "_async_success_callback", "_async_failure_callback")  # fmt: skip
_OURS = {"weight", "timeout", "max_tokens", "max_completion_tokens", "rpm", "tpm", "order",
         "max_parallel_requests", "max_retries", "num_retries", "stream", "n", "tags",
         "input_cost_per_token", "output_cost_per_token"}  # fmt: skip
"""Params that are not passed through: used here, or of a proxy only."""

_OWN_SERVERS = ("ollama", "ollama_chat", "hosted_vllm", "vllm", "lm_studio", "llamafile",
                "xinference")  # fmt: skip
_POLICY = re.compile(
    r"content[_ ]?(?:policy|filter|management)|safety (?:system|setting)|responsible ?ai|"
    r"prohibited_content|usage polic",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(?:sk|key|AIza|Bearer)[-_ ]?[A-Za-z0-9_\-*]{8,}")


class LiteLlmClient:
    """Calls the deployments of a configuration by LiteLLM's SDK.

    Args:
        config: whose settings of the library and environment variables apply to the process.
    """

    def __init__(self, config: LmmConfig) -> None:
        self._config = config
        self._environment = config.environment()
        self._lock = threading.Lock()
        self._library: Any = None

    def complete(self, deployment: Deployment, call: Call) -> Reply:
        """The reply of a deployment, in one request over the network.

        Raises:
            LmmError: there is none, by its kind.
            ConfigError: a key or the provider is missing in lmm.yaml.
        """
        litellm = self._opened()
        params = self._params(deployment)
        try:
            response = litellm.completion(
                **params,
                messages=_messages(call),
                max_tokens=_max_tokens(deployment),
                timeout=call.timeout_s,
                num_retries=0,
                max_retries=0,
                **_response_format(call.mode),
            )
        except Exception as error:  # the library raises its own, openai's, httpx's and builtin ones
            raise self._translated(error, deployment) from error
        return self._reply(response, deployment)

    def estimate(self, deployment: Deployment, call: Call) -> Estimate:
        """The most that a call can cost, by the greatest number of tokens that it can have."""
        prices, source = self._prices(deployment)
        if prices is None:
            return Estimate(None, source)
        tokens_in, tokens_out = most_tokens(deployment.model, call), _max_tokens(deployment)
        return Estimate(prices.cost_usd(tokens_in, tokens_out), source)

    def is_priced(self, deployment: Deployment) -> bool:
        """Whether lmm.yaml, LiteLLM's price list or the kind of server gives a price."""
        return self._prices(deployment)[0] is not None

    def refuses_pictures(self, deployment: Deployment) -> bool:
        """Whether lmm.yaml or LiteLLM's list of models says that the model reads text only.

        Models that the list does not know, and those on a server of one's own, may take pictures.
        """
        stated = deployment.info.get("supports_vision")
        if stated is not None:
            return not stated
        if deployment.model.split("/")[0] in _OWN_SERVERS or "api_base" in deployment.params:
            return False
        known = self._listed(deployment.model)
        return known is not None and not known.get("supports_vision", False)

    def missing_keys(self, deployment: Deployment) -> tuple[str, ...]:
        """The environment variables of keys that the provider needs and nobody gives.

        Providers with other ways to sign in, as a cloud's own, are taken to know theirs.
        """
        params = self._params(deployment)
        if params.get("api_key") or deployment.model.split("/")[0] in _OWN_SERVERS:
            return ()
        found = self._opened().validate_environment(
            model=deployment.model, api_base=params.get("api_base")
        )
        missing = tuple(found.get("missing_keys", ()))
        return missing if all(name.endswith("_API_KEY") for name in missing) else ()

    def _opened(self) -> Any:
        """The library, imported once, quiet and offline."""
        with self._lock:
            if self._library is None:
                os.environ.update(_OFFLINE)
                os.environ.update(self._config.variables)  # providers' SDKs read some of them
                self._library = _import_quietly()
                for name, value in self._config.litellm.items():
                    setattr(self._library, name, value)
            return self._library

    def _params(self, deployment: Deployment) -> dict[str, Any]:
        params = deployment.resolved(self._environment)
        return {name: value for name, value in params.items() if name not in _OURS}

    def _listed(self, model: str) -> Mapping[str, Any] | None:
        """The entry of LiteLLM's list of models, by the full or the short name."""
        costs = self._opened().model_cost
        found = costs.get(model) or costs.get(model.partition("/")[2])
        return found if isinstance(found, Mapping) else None

    def _prices(self, deployment: Deployment) -> tuple[Prices | None, CostSource]:
        for given in (deployment.params, deployment.info):
            if given.get("input_cost_per_token") is not None:
                return Prices.of(given), CostSource.CONFIG
        if deployment.model.split("/")[0] in _OWN_SERVERS:
            return Prices(0.0, 0.0), CostSource.OWN_SERVER
        if "api_base" in deployment.params and not _is_public(self._params(deployment)["api_base"]):
            # A gateway or a server of one's own may use a name of the list without its price.
            return None, CostSource.UNKNOWN
        known = self._listed(deployment.model)
        if known is None or known.get("input_cost_per_token") is None:
            return None, CostSource.UNKNOWN
        return Prices.of(known), CostSource.PRICE_MAP

    def _reply(self, response: Any, deployment: Deployment) -> Reply:
        try:
            choice, usage = response.choices[0], response.usage
            message = choice.message
            finish = str(choice.finish_reason or "")
            tokens = int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise LmmUnavailable(
                f"{deployment.name} ({deployment.model}) sent a reply without a choice or a usage",
                is_payment_unknown=True,
            ) from error
        prices, source = self._prices(deployment)
        text = str(message.content or getattr(message, "refusal", None) or "")
        return Reply(
            text=text,
            model=str(response.model or deployment.model),
            finish=finish,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost_usd=None if prices is None else prices.cost_usd(*tokens),
            cost_source=source,
        )

    def _translated(self, error: Exception, deployment: Deployment) -> LmmError | ConfigError:
        """An exception of LiteLLM, or of what it calls, as ours; told apart by HTTP status."""
        headers = _headers(error)
        status = getattr(error, "status_code", None)
        status = status if isinstance(status, int) else None
        said = clean_words(_SECRET.sub("[key]", str(error)), 300)
        who = f"{deployment.name} ({deployment.model})"
        name = type(error).__name__
        if status == 408 or "Timeout" in name:
            return LmmTimeout(f"{who} took too long: {said}", is_payment_unknown=True)
        if name == "ContentPolicyViolationError" or (
            status in (400, 403, 422) and _POLICY.search(said)
        ):
            return LmmPolicyRefusal(f"the content policy of {who} forbids the request: {said}")
        if status in (401, 403):
            return LmmRejected(
                f"{deployment.where}: {who} refuses the key: {said}; check api_key", status=status
            )
        if status == 404:
            return LmmRejected(
                f"{deployment.where}: {who} is not known to its provider: {said}; check model and "
                "api_base",
                status=status,
            )
        if status == 429 or status == 409 or (status is not None and status >= 500):
            return LmmUnavailable(
                f"{who} is not available ({status if headers else 'no connection'}): {said}",
                retry_after_s=_retry_after_s(headers),
                # Without a response nobody knows how far the request has come.
                is_payment_unknown=headers is None,
            )
        if name == "BadRequestError" and "LLM Provider NOT provided" in str(error):
            return ConfigError(
                f"{deployment.where}: model {deployment.model!r} names no provider; write "
                "PROVIDER/MODEL, as in openai/gpt-4o"
            )
        return LmmRejected(f"{deployment.where}: {who} refuses the request: {said}", status=status)


def _import_quietly() -> Any:
    """LiteLLM without its printed advice, its logs and every hook that could pass prompts on."""
    import litellm

    library: Any = litellm
    # Its own types, when one of its providers is first used; nothing that a user could mend.
    warnings.filterwarnings("ignore", message=r"(?s)Items? .*on TypedDict class")
    warnings.filterwarnings("ignore", message=r"(?s)Pydantic serializer warnings")
    library.suppress_debug_info = True
    library.turn_off_message_logging = True
    for name in _CALLBACKS:
        if getattr(library, name, None):
            setattr(library, name, [])
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each URL, some with the key
    return library


def _messages(call: Call) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": call.text},
                {"type": "image_url", "image_url": {"url": call.picture.data_url}},
            ],
        }
    ]
    for reply, correction in call.turns:
        messages.append({"role": "assistant", "content": reply or "(no reply)"})
        messages.append({"role": "user", "content": correction})
    return messages


def _response_format(mode: AnswerMode) -> dict[str, Any]:
    if mode is AnswerMode.PLAIN:
        return {}
    if mode is AnswerMode.JSON:
        return {"response_format": {"type": "json_object"}}
    schema = {"name": "place", "strict": True, "schema": ANSWER_SCHEMA}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _max_tokens(deployment: Deployment) -> int:
    given = deployment.params.get("max_tokens", deployment.params.get("max_completion_tokens"))
    return DEFAULT_MAX_TOKENS if given is None else int(given)


def _is_public(api_base: str) -> bool:
    """Whether an address is a public one, where the list's prices are the likely ones."""
    host = (urlsplit(api_base).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan"))


def _headers(error: Exception) -> Mapping[str, str] | None:
    """The headers of the provider's response; None when there was no response.

    LiteLLM makes up a response without headers where there was none.
    """
    for holder in (error, getattr(error, "response", None)):
        for name in ("litellm_response_headers", "headers"):
            found = getattr(holder, name, None)
            if found:
                return {str(key).lower(): str(value) for key, value in dict(found).items()}
    return None


def _retry_after_s(headers: Mapping[str, str] | None) -> float | None:
    """Seconds of Retry-After (a number or a date), or of OpenAI's retry-after-ms."""
    given = headers or {}
    try:
        if "retry-after-ms" in given:
            return max(0.0, float(given["retry-after-ms"]) / 1000.0)
        return max(0.0, float(given["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        try:
            moment = parsedate_to_datetime(given["retry-after"])
        except ValueError:
            return None
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
