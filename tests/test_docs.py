"""What the documents say can be typed is there: commands, options, benches, settings, files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from geosearch.cli import COMMANDS, group
from geosearch.cli.bench import NAMES
from geosearch.settings import known_variables

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_IN_LINE = re.compile(r"`(geosearch [^`]+)`")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
_SHELLS = ("", "sh", "bash", "console", "text")
_PLACEHOLDER = re.compile(r"^[A-Z_…]|^<|^\.\.\.$|…$")


def _command_lines(text: str) -> Iterator[list[str]]:
    """Every `geosearch …` of a document as words, without the shell around it."""
    found = [
        line
        for language, block in _FENCED.findall(text)
        if language in _SHELLS
        for line in block.splitlines()
    ]
    spans = _IN_LINE.findall(_FENCED.sub("", text))
    for line in [*found, *spans]:
        line = re.sub(r"^\s*\$?\s*(\w+=\S+\s+)*", "", line)  # a prompt, variables for one command
        if not line.startswith("geosearch "):
            continue
        line = re.split(r"\s+#|\s[|>&;]|\s2>", line)[0]
        line = re.sub(r"[\[\]]", " ", line)
        yield shlex.split(line.replace("…", ""))[1:]


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command, or command of a group, that the words begin with, and the other words."""
    names = words[0].split("|")
    command = None
    for name in names:
        command = group.get_command(click.Context(group), name)
        assert command is not None, f"there is no command geosearch {name}"
    assert command is not None
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        inner = None
        for name in rest[0].split("|"):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None or _PLACEHOLDER.match(name), f"no command {words}"
        if inner is None:
            break
        command, rest = inner, rest[1:]
    return command, rest


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_of_the_documents_can_be_typed(path: Path) -> None:
    for words in _command_lines(path.read_text()):
        if not words or words[0].startswith("-"):
            assert set(words) <= {"--help", "--version", "-h", "-v"}, words
            continue
        command, rest = _command(words)
        options = {name for option in command.params for name in option.opts} | {"--help", "-h"}
        for word in rest:
            for name in word.split("|") if word.startswith("-") else ():
                name = name.split("=")[0]
                is_number = re.fullmatch(r"-\d.*", name)
                assert is_number or name in options, f"{path.name}: geosearch {' '.join(words)}"
        if words[0] == "bench" and rest and not rest[0].startswith("-"):
            for name in rest[0].split("|"):
                assert name in NAMES or _PLACEHOLDER.match(name), f"{path.name}: bench {name}"


def test_there_are_command_lines_to_check() -> None:
    found = [words for path in DOCUMENTS for words in _command_lines(path.read_text())]
    assert len(found) > 15
    assert ["status"] in found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_variable_in_the_documents_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"GEOSEARCH_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
    assert named <= known_variables()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_the_documents_link_to_is_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), target


def test_every_threat_in_the_table_has_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 30
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, f"no test: {row}"
        for path, test in named:
            assert (ROOT / path).is_file(), path
            assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.M), f"{path}: {test}"


def _commands(
    command: click.Command, name: str, context: click.Context | None = None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    context = click.Context(command, info_name=name, parent=context)
    yield name, command, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _commands(found, inner, context)


def test_every_command_and_option_has_help_that_fits() -> None:
    seen = 0
    for name, command, context in _commands(group, "geosearch"):
        seen += 1
        text = command.get_help(context)
        assert text.startswith("Usage:"), name
        first = (command.help or "").strip().splitlines()[:1]
        assert first, f"{name} has no help"
        assert first[0][0].isupper(), f"{name}: {first[0]}"
        assert "Args:" not in text, f"{name} shows a docstring's sections"
        assert "Raises:" not in text, f"{name} shows a docstring's sections"
        for option in command.params:
            if isinstance(option, click.Option) and not isinstance(option.type, click.Choice):
                assert option.help, f"{name} {option.opts}: no help"
        if command.params and not isinstance(command, click.Group):
            has_json = any("--json" in option.opts for option in command.params)
            assert has_json or name in WITHOUT_JSON, f"{name} has no --json"
    assert seen > len(COMMANDS)


WITHOUT_JSON = {"serve", "worker"}
"""They run until they are stopped and answer nobody on stdout."""
