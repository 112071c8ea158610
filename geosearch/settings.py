"""Every setting, from environment variables `GEOSEARCH_*`; documented in docs/configuration.md.

Importing this module costs a fifth of a second (pydantic), so doors import it inside commands.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from geosearch.addresses import AllowedAddresses
from geosearch.errors import ConfigError

PREFIX = "GEOSEARCH_"


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
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    dtype: str = Field(
        default="auto",
        description="auto, float32, bfloat16 or float16; auto takes the fastest that stays within "
        "a cosine of 0.999 of float32.",
    )
    batch_size: int = Field(
        default=32, ge=1, le=4096, description="Photos that are encoded together."
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

    @field_validator("url_allow")
    @classmethod
    def _hosts_and_networks(cls, entries: str | None) -> str | None:
        AllowedAddresses.parse(entries or "")
        return entries

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


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; keyword arguments win over it.

    Raises:
        ConfigError: a variable is unknown or its value is not allowed.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            hint = (
                f"; did you mean {close[0]}?"
                if close
                else f"; known are {', '.join(sorted(known))}"
            )
            raise ConfigError(f"the environment variable {name} is not a setting; {hint}")
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else "the settings"
        secret = "secret" in str(first.get("input", "")).lower() or name.endswith(("_URL", "_KEY"))
        given = "" if secret else f"={first.get('input')!r}"
        raise ConfigError(f"{name}{given}: {first['msg']}; see docs/configuration.md") from None
