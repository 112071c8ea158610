"""lmm.yaml: LiteLLM's own config.yaml, read as it is, with errors that name file and line.

Only what LiteLLM's SDK and this package act on is interpreted; all other keys are accepted and
listed in `LmmConfig.unused`. Nothing here imports LiteLLM.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geosearch.errors import ConfigError
from geosearch.lmm.documents import Document, Line, read_document

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_RETRIES = 2
_REFERENCE = "os.environ/"
_MAX_INCLUDES = 20
_SECTIONS = {
    "model_list",
    "router_settings",
    "litellm_settings",
    "environment_variables",
    "include",
}
_LITELLM_SETTINGS = {"num_retries", "request_timeout", "fallbacks", "default_fallbacks",
                     "content_policy_fallbacks", "context_window_fallbacks", "drop_params",
                     "ssl_verify", "ssl_certificate", "modify_params"}  # fmt: skip


class _Params(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())
    model: str = Field(min_length=1)
    timeout: float | None = Field(default=None, gt=0)
    weight: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())
    model_name: str = Field(min_length=1)
    litellm_params: _Params
    model_info: dict[str, Any] = Field(default_factory=dict)


class _Routing(BaseModel):
    """The keys of router_settings and litellm_settings that say how calls are repeated."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    num_retries: int | None = Field(default=None, ge=0)
    timeout: float | None = Field(default=None, gt=0)
    request_timeout: float | None = Field(default=None, gt=0)
    retry_after: float | None = Field(default=None, ge=0)
    fallbacks: list[dict[str, list[str]]] = Field(default_factory=list)
    default_fallbacks: list[str] = Field(default_factory=list)
    content_policy_fallbacks: list[dict[str, list[str]]] = Field(default_factory=list)
    context_window_fallbacks: list[dict[str, list[str]]] = Field(default_factory=list)
    model_group_alias: dict[str, Any] = Field(default_factory=dict)


class _Root(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())
    model_list: list[_Entry] = Field(min_length=1)
    router_settings: _Routing = Field(default_factory=_Routing)
    litellm_settings: _Routing = Field(default_factory=_Routing)
    environment_variables: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of model_list: a model somewhere, under a name that others may share.

    Args:
        name: its model_name.
        params: its litellm_params; references to the environment are still references.
        info: its model_info.
        where: file and line of the entry.
        lines: file and line of each of its params.
    """

    name: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    lines: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """LiteLLM's model string, as `anthropic/claude-sonnet-4-5`."""
        return str(self.params["model"])

    @property
    def timeout_s(self) -> float | None:
        """Its own limit for one call."""
        return None if self.params.get("timeout") is None else float(self.params["timeout"])

    def resolved(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """Its params with every reference to the environment replaced.

        Raises:
            ConfigError: a variable is not set or empty.
        """
        return {
            name: _resolve(value, environment, self._place(name), f"{name} of model {self.name!r}")
            for name, value in self.params.items()
        }

    def _place(self, name: str) -> str:
        return self.lines.get(name, self.where)


@dataclass(frozen=True, slots=True)
class LmmConfig:
    """What lmm.yaml says.

    Args:
        path: of the file.
        deployments: in the order of the file; the first is the default model.
        retries: how often a failed call is repeated.
        retry_after_s: the least wait before a repetition.
        timeout_s: limit of one call, for deployments without their own.
        fallbacks: model names to ask when a model fails, by model name; `*` for all others.
        policy_fallbacks: the same for refusals by content policy.
        litellm: settings of the library itself.
        variables: environment_variables of the file.
        unused: keys that were accepted and have no effect here.
    """

    path: Path
    deployments: tuple[Deployment, ...]
    retries: int = DEFAULT_RETRIES
    retry_after_s: float = 0.0
    timeout_s: float = DEFAULT_TIMEOUT_S
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    policy_fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    litellm: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    unused: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Model names, each once, in the order of the file."""
        return tuple(dict.fromkeys(deployment.name for deployment in self.deployments))

    def group(self, name: str | None = None) -> tuple[Deployment, ...]:
        """The deployments of a model name or alias; of the first name for None.

        Raises:
            ConfigError: no entry has this name.
        """
        wanted = self.names[0] if name is None else self.aliases.get(name, name)
        found = tuple(one for one in self.deployments if one.name == wanted)
        if not found:
            raise ConfigError(
                f"no model is named {name!r} in {self.path}; it names {', '.join(self.names)}: "
                "choose one of them with --model or add an entry to model_list"
            )
        return found

    def environment(self) -> dict[str, str]:
        """The process's environment with the file's environment_variables over it."""
        return {**os.environ, **self.variables}


def load_config(path: Path) -> LmmConfig:
    """Read lmm.yaml.

    Raises:
        ConfigError: it cannot be used; the message names file, line and remedy.
    """
    document = _with_includes(read_document(path.expanduser()))
    for section in [name for name, value in document.data.items() if value is None]:
        del document.data[section]  # a heading with nothing under it
    try:
        root = _Root.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        keys = tuple(part for part in first["loc"])
        name = ".".join(str(part) for part in keys)
        raise ConfigError(
            f"{document.where(*keys)}: {name}: {first['msg'].lower()}; see docs/lmm.md for the form"
        ) from None
    deployments = tuple(
        Deployment(
            entry.model_name,
            _without_nothing(document.data["model_list"][at]["litellm_params"]),
            entry.model_info,
            document.where("model_list", at),
            {
                name: document.where("model_list", at, "litellm_params", name)
                for name in document.data["model_list"][at]["litellm_params"]
            },
        )
        for at, entry in enumerate(root.model_list)
    )
    router, litellm = root.router_settings, root.litellm_settings
    config = LmmConfig(
        document.path,
        deployments,
        retries=_first(router.num_retries, litellm.num_retries, DEFAULT_RETRIES),
        retry_after_s=_first(router.retry_after, 0.0),
        timeout_s=_first(router.timeout, litellm.request_timeout, DEFAULT_TIMEOUT_S),
        aliases={
            alias: str(target["model"] if isinstance(target, dict) else target)
            for alias, target in router.model_group_alias.items()
        },
        litellm={
            name: value
            for name, value in document.data.get("litellm_settings", {}).items()
            if name in ("drop_params", "ssl_verify", "ssl_certificate", "modify_params")
        },
        unused=_unused(document),
    )
    config = replace(config, variables=_variables(root, document))
    return replace(
        config,
        fallbacks=_chains(config, document, ("fallbacks", "context_window_fallbacks"))
        | _default_chain(config, document),
        policy_fallbacks=_chains(config, document, ("content_policy_fallbacks",)),
    )


def _with_includes(document: Document) -> Document:
    """The document with the files it includes: lists are joined, sections merged."""
    data, lines = dict(document.data), dict(document.lines)
    waiting = [(document.path, name) for name in _as_list(data.pop("include", None))]
    read = {document.path.resolve()}
    while waiting:
        parent, name = waiting.pop(0)
        path = (parent.parent / str(name)).resolve()
        if path in read:
            continue
        read.add(path)
        if len(read) > _MAX_INCLUDES:
            raise ConfigError(f"{document.path} includes more than {_MAX_INCLUDES} files")
        other = read_document(path)
        waiting += [(path, further) for further in _as_list(other.data.get("include"))]
        _merge(data, lines, other)
    return Document(document.path, data, lines)


def _merge(data: dict[str, Any], lines: dict[tuple[str | int, ...], Line], other: Document) -> None:
    offset = len(_as_list(data.get("model_list")))
    for section, value in other.data.items():
        if section == "include":
            continue
        if isinstance(value, list) and isinstance(data.get(section, []), list):
            data[section] = [*data.get(section, []), *value]
        elif isinstance(value, dict) and isinstance(data.get(section, {}), dict):
            data[section] = {**value, **data.get(section, {})}
        else:
            data.setdefault(section, value)
    for keys, line in other.lines.items():
        if len(keys) > 1 and keys[0] == "model_list" and isinstance(keys[1], int):
            lines[("model_list", keys[1] + offset, *keys[2:])] = line
        elif keys:
            lines.setdefault(keys, line)


def _variables(root: _Root, document: Document) -> dict[str, str]:
    return {
        name: str(_resolve(value, os.environ, document.where("environment_variables", name), name))
        for name, value in root.environment_variables.items()
    }


def _chains(
    config: LmmConfig, document: Document, kinds: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Model name to the names asked after it; router_settings before litellm_settings."""
    chains: dict[str, tuple[str, ...]] = {}
    for section in ("router_settings", "litellm_settings"):
        for kind in kinds:
            for at, entry in enumerate(_as_list(document.data.get(section, {}).get(kind))):
                where = document.where(section, kind, at)
                for name, targets in entry.items():
                    _known([name, *targets], config, where, kind)
                    chains[name] = tuple(dict.fromkeys((*chains.get(name, ()), *targets)))
    return chains


def _default_chain(config: LmmConfig, document: Document) -> dict[str, tuple[str, ...]]:
    for section in ("router_settings", "litellm_settings"):
        names = _as_list(document.data.get(section, {}).get("default_fallbacks"))
        if names:
            where = document.where(section, "default_fallbacks")
            _known(names, config, where, "default_fallbacks")
            return {"*": tuple(names)}
    return {}


def _known(names: Sequence[str], config: LmmConfig, where: str, kind: str) -> None:
    for name in names:
        if name != "*" and name not in config.names and name not in config.aliases:
            raise ConfigError(
                f"{where}: {kind} names {name!r}, which no entry of model_list has; it has "
                f"{', '.join(config.names)}"
            )


def _resolve(value: Any, environment: Mapping[str, str], where: str, what: str) -> Any:
    """A value with its references to the environment replaced, however deep they are."""
    if isinstance(value, dict):
        return {name: _resolve(part, environment, where, what) for name, part in value.items()}
    if isinstance(value, list):
        return [_resolve(part, environment, where, what) for part in value]
    if not (isinstance(value, str) and value.startswith(_REFERENCE)):
        return value
    name = value.removeprefix(_REFERENCE)
    if not environment.get(name):
        raise ConfigError(
            f"{where}: {what} is {value}, and the environment variable {name} is not set; "
            f"run: export {name}=… (or name another variable there)"
        )
    return environment[name]


def _unused(document: Document) -> tuple[str, ...]:
    known = set(_Routing.model_fields)
    found = [section for section in document.data if section not in _SECTIONS]
    found += [f"router_settings.{name}" for name in document.data.get("router_settings") or {}
              if name not in known]  # fmt: skip
    found += [f"litellm_settings.{name}" for name in document.data.get("litellm_settings") or {}
              if name not in _LITELLM_SETTINGS]  # fmt: skip
    return tuple(found)


def _without_nothing(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
