"""YAML files that remember the line of every key, so that errors can point at it.

Sole importer of yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from geosearch.errors import ConfigError

MAX_BYTES = 1_000_000

Key: TypeAlias = str | int
Line: TypeAlias = tuple[Path, int]


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML mapping and where each part of it stands.

    Args:
        path: of the file.
        data: what it says.
        lines: (file, line from 1) by the keys and indices that lead to a part.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[tuple[Key, ...], Line]

    def where(self, *keys: Key) -> str:
        """`FILE, line N` of a part, or of the nearest part above that is written down."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.lines:
                path, line = self.lines[keys[:end]]
                return f"{path}, line {line}"
        return str(self.path)


def read_document(path: Path) -> Document:
    """Read a YAML file whose top is a mapping.

    Raises:
        ConfigError: it cannot be read, is no YAML, no mapping, or names a key twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}); set GEOSEARCH_LMM_CONFIG to a "
            "LiteLLM config.yaml"
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has {len(data):,} bytes; a configuration has {MAX_BYTES:,}")
    try:
        loader = yaml.SafeLoader(data.decode())
        try:
            root = loader.get_single_node()
            lines: dict[tuple[Key, ...], Line] = {}
            if root is not None:
                _note_lines(root, (), path, lines)
            content = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{line} is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} must be a mapping with model_list, as LiteLLM's config.yaml; see docs/lmm.md"
        )
    return Document(path, content, lines)


def _note_lines(
    root: yaml.Node, keys: tuple[Key, ...], path: Path, lines: dict[tuple[Key, ...], Line]
) -> None:
    """Write down the line of each part; parts that are referred to again keep the first place."""
    waiting, seen = [(root, keys)], set()
    while waiting:
        node, keys = waiting.pop()
        lines.setdefault(keys, (path, node.start_mark.line + 1))
        if id(node) in seen:  # an alias; nested ones would otherwise multiply without end
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(child, (*keys, at)) for at, child in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, child in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in names and name != "<<":
                    raise ConfigError(f"{path}, line {line}: {name} is given twice; keep one")
                names.add(name)
                lines[(*keys, name)] = (path, line)
                waiting.append((child, (*keys, name)))
