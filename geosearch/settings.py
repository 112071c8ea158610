"""Every setting, from environment variables `GEOSEARCH_*`; documented in docs/configuration.md.

Importing this module costs a fifth of a second (pydantic), so doors import it inside commands.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from geosearch.addresses import AllowedAddresses
from geosearch.errors import ConfigError

PREFIX = "GEOSEARCH_"

FROM_FILE = "_FILE"
"""What follows the variable of a secret that is in a file."""

BROKERS = ("redis://", "rediss://", "redis+socket://", "amqp://", "amqps://")


class Settings(BaseSettings):
    """The configuration of one process; `load_settings` builds it from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(
        default=Path("~/.geosearch"),
        description="Where the embedded engines keep their data.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL server to use instead of the embedded one, as "
        "postgresql://USER:PASSWORD@HOST/DATABASE.",
    )
    qdrant_url: str | None = Field(
        default=None,
        description="Qdrant server to use instead of the embedded Qdrant Edge, as http://HOST:6333.",
    )
    qdrant_api_key: SecretStr | None = Field(
        default=None, description="API key of the Qdrant server."
    )
    encoder: str = Field(
        default="ViT-L-14/openai",
        description="Encoder: ARCHITECTURE/TAG of open_clip, ARCHITECTURE//PATH of a local "
        "checkpoint, or lite, which works offline.",
    )
    heads: str | None = Field(
        default=None,
        description="Trained heads of the encoder by their name in HOME/encoders, or none for the "
        "backbone alone; those that `geosearch encoders activate` chose unless this is set.",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    dtype: str = Field(
        default="auto",
        description="auto, float32, bfloat16 or float16; auto takes the fastest that stays within "
        "a cosine of 0.999 of float32.",
    )
    vector_quantization: Literal["int8", "int4", "none"] = Field(
        default="int8",
        description="Small copies of vectors that searches compare first, in indexes made from now "
        "on: int8, int4, or none.",
    )
    vectors_on_disk: bool = Field(
        default=False,
        description="Whether indexes made from now on leave full-length vectors on disk and keep "
        "only the small copies in memory.",
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Photos that are encoded together; a worker measures what is fastest unless "
        "this is set.",
    )
    decode_threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Threads that read and decode photos; 0 means one a core.",
    )
    max_pixels: int = Field(
        default=100_000_000,
        ge=1_000_000,
        description="Photos with more pixels are refused before they are decoded.",
    )
    max_file_mb: int = Field(
        default=256, ge=1, description="Photo files larger than this many megabytes are refused."
    )
    url_timeout_s: float = Field(
        default=30.0, gt=0, description="Seconds after which a photo's URL is given up."
    )
    url_allow: str | None = Field(
        default=None,
        description="Hosts and networks, with commas between, that photos' URLs may reach although "
        "they are not on the public internet.",
    )
    cpu_fallback: bool = Field(
        default=False,
        description="Whether a worker whose device does not exist works on the CPU instead.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="Redis, Valkey or RabbitMQ through which workers are given photos, as "
        "redis://HOST:6379/0 or amqp://USER:PASSWORD@HOST; needs both servers.",
    )
    queue_limit: int = Field(
        default=100_000,
        ge=1,
        description="Photos that may wait in the queue before an ingest waits too.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a photo may kill or fail a worker before it is given up.",
    )
    lease_s: float = Field(
        default=60.0,
        ge=1,
        description="Seconds after which what a worker was reading is given to another one, "
        "unless it says that it is alive.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port where a worker serves its metrics to Prometheus; 0 lets the system "
        "choose and logs which.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="A key of the HTTP API that may do everything, beside those of "
        "`geosearch keys create`.",
    )
    api_rate_per_minute: int = Field(
        default=1200, ge=0, description="Requests a minute of one API key; 0 for no limit."
    )
    api_max_in_flight: int = Field(
        default=128, ge=1, description="Requests answered at once; more are told to come back."
    )
    lmm_config: Path | None = Field(
        default=None,
        description="LiteLLM config.yaml with the large multimodal models that `geosearch locate` "
        "asks.",
    )
    lmm_model: str | None = Field(
        default=None, description="Its model_name to ask; by default the first of the file."
    )
    lmm_samples: int = Field(
        default=1, ge=1, le=20, description="How often each question of a photo is asked."
    )
    lmm_positives: str = Field(
        default="5,10,15",
        description="Of how many photos found the questions tell that follow the independent one; "
        "empty for that one alone.",
    )
    lmm_concurrency: int = Field(
        default=8, ge=1, le=256, description="Questions that are asked at a time."
    )
    lmm_timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="Seconds that a model may take for one photo, repetition included; then the "
        "photos decide alone.",
    )
    lmm_image_edge: int = Field(
        default=1024,
        ge=64,
        le=8192,
        description="Longer side, in pixels, of the picture that a model is sent.",
    )
    lmm_accuracy: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Part of photos like yours that the model locates within 25 km, where you know "
        "it; learned from its agreement with the photos else.",
    )
    lmm_monthly_budget_usd: float | None = Field(
        default=None,
        ge=0,
        description="US dollars that all who share the catalogue may spend in a calendar month "
        "(UTC); a call that might pass it is not made.",
    )
    tile_url: str | None = Field(
        default=None,
        description="Map tiles for the page, as https://HOST/{z}/{x}/{y}.png; without, outlines "
        "that come with the package.",
    )
    tile_attribution: str | None = Field(
        default=None, description="What the map says of whose tiles it shows."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How workers write their log: text, or json, one object a line."
    )
    trace_url: str | None = Field(
        default=None,
        description="OpenTelemetry collector that workers send traces to, as "
        "http://HOST:4318/v1/traces; needs the extra `tracing`.",
    )

    @field_validator("url_allow")
    @classmethod
    def _hosts_and_networks(cls, entries: str | None) -> str | None:
        AllowedAddresses.parse(entries or "")
        return entries

    @field_validator("lmm_positives")
    @classmethod
    def _counts(cls, counts: str) -> str:
        parts = [part.strip() for part in counts.split(",") if part.strip()]
        if not all(part.isdecimal() and 1 <= int(part) <= 50 for part in parts):
            raise ValueError("must be numbers from 1 to 50 with commas between, as in 5,10,15")
        return ",".join(parts)

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, url: SecretStr | None) -> SecretStr | None:
        allowed = ("postgresql://", "postgres://", "postgresql+psycopg://")
        if url is not None and not url.get_secret_value().startswith(allowed):
            raise ValueError("must begin with postgresql://; no other database is supported")
        return url

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(BROKERS):
            raise ValueError(f"must begin with one of {', '.join(BROKERS)}")
        return url

    @model_validator(mode="after")
    def _servers_with_a_broker(self) -> Settings:
        missing = [
            PREFIX + name
            for name, url in (("DATABASE_URL", self.database_url), ("QDRANT_URL", self.qdrant_url))
            if url is None
        ]
        if self.broker_url is not None and missing:
            raise ValueError(
                "GEOSEARCH_BROKER_URL is set, and workers share their engines, but the embedded "
                f"ones belong to one process; set {' and '.join(missing)} to servers, or unset "
                "GEOSEARCH_BROKER_URL"
            )
        return self


def known_variables() -> set[str]:
    """Every environment variable that is read: settings, and files that hold the secret ones."""
    names = {PREFIX + name.upper() for name in Settings.model_fields}
    return names | {PREFIX + name.upper() + FROM_FILE for name in _secret_fields()}


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; keyword arguments win over it.

    Raises:
        ConfigError: a variable is unknown or its value is not allowed, or a secret's file cannot
            be read.
    """
    known = known_variables()
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            hint = (
                f"; did you mean {close[0]}?"
                if close
                else f"; known are {', '.join(sorted(known))}"
            )
            raise ConfigError(f"the environment variable {name} is not a setting; {hint}")
    overrides = _secrets_from_files() | overrides
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # settings that do not go together; each alone may be a secret
            raise ConfigError(first["msg"].removeprefix("Value error, ")) from None
        name = PREFIX + str(first["loc"][0]).upper()
        secret = "secret" in str(first.get("input", "")).lower() or name.endswith(("_URL", "_KEY"))
        given = "" if secret else f"={first.get('input')!r}"
        raise ConfigError(f"{name}{given}: {first['msg']}; see docs/configuration.md") from None


def _secret_fields() -> set[str]:
    return {
        name
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    }


def _secrets_from_files() -> dict[str, object]:
    """Secrets whose variable names a file, as container engines hand them in."""
    found: dict[str, object] = {}
    for field in _secret_fields():
        variable = PREFIX + field.upper()
        path = os.environ.get(variable + FROM_FILE)
        if path is None:
            continue
        if variable in os.environ:
            raise ConfigError(f"both {variable} and {variable}{FROM_FILE} are set; leave one out")
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigError(
                f"{variable}{FROM_FILE}={path} cannot be read: {reason}; name a file that holds "
                "the secret and nothing else"
            ) from error
        if not secret:
            raise ConfigError(f"{variable}{FROM_FILE}={path} is empty; put the secret in it")
        found[field] = secret
    return found
