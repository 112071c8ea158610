"""The files for containers, read and linted: no engine runs them here."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from geosearch.cli import COMMANDS, group
from geosearch.settings import known_variables
from workers.app import QUEUES

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*Dockerfile"))
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("geosearch:", "geosearch-cuda:")
PARTS = ("serve", "worker")
"""Commands of parts that the files count on; checked like the others as soon as they are there."""

PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w.]+)?")


def _instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile in order, continued lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def _included(name: str) -> bool:
    """Whether .dockerignore lets a path of the root into the build."""
    return f"!{name.split('/')[0]}" in (ROOT / ".dockerignore").read_text().splitlines()


def _ignored_by_default() -> bool:
    return "*" in (ROOT / ".dockerignore").read_text().splitlines()


def _command_exists(words: list[str]) -> None:
    command = group.get_command(click.Context(group), words[0])
    if command is None and words[0] in PARTS:
        pytest.skip(f"geosearch {words[0]} is a part of its own and not in this tree")
    assert command is not None, f"geosearch {words[0]} is no command; there are {list(COMMANDS)}"
    options = {name for option in command.params for name in option.opts}
    for word in words[1:]:
        assert not word.startswith("-") or word in options, f"geosearch {words[0]} has no {word}"


def test_there_is_an_image_for_the_cpu_and_one_for_cuda() -> None:
    assert [path.name for path in DOCKERFILES] == ["Dockerfile", "cuda.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_keep_the_rules_of_linters(path: Path) -> None:
    instructions = _instructions(path)
    words = [word for word, _ in instructions]
    stages = [rest for word, rest in instructions if word == "FROM"]
    assert len(stages) > 1, "build tools stay in a stage of their own"
    for stage in stages:
        assert PINNED.match(stage.split()[0]), f"{stage}: no pinned tag"
        assert " AS " in stage
    last = instructions[len(words) - 1 - words[::-1].index("FROM") :]
    assert ("USER", "10001:10001") in last
    for word in ("HEALTHCHECK", "ENTRYPOINT", "CMD"):
        assert sum(found == word for found, _ in last) == 1, word
    assert "ADD" not in words
    assert "MAINTAINER" not in words
    for word, rest in instructions:
        if word in ("ENTRYPOINT", "CMD"):
            assert yaml.safe_load(rest), f"{word} is a JSON list, so that signals arrive"
        if word == "RUN":
            assert "sudo" not in rest
            for wanted in re.findall(r"pip install(?: --\S+(?: https\S+)?)* (.+)", rest):
                for name in shlex.split(wanted):
                    assert "==" in name or name.startswith("."), f"{name}: no pinned version"
            assert "apt-get install" not in rest or "--no-install-recommends" in rest
            assert "curl" not in rest
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word in ("ENV", "ARG"):
            assert not re.search(r"PASSWORD|SECRET|TOKEN|API_KEY", rest), "secrets come as files"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_dockerfiles_copy_exists_and_is_let_in(path: Path) -> None:
    stages: set[str] = set()
    for word, rest in _instructions(path):
        if word == "FROM":
            stages.add(rest.split(" AS ")[1])
        if word == "COPY":
            options = [part for part in rest.split()[:-1] if not part.startswith("--chown")]
            if options[0].startswith("--from="):
                assert options[0].removeprefix("--from=") in stages
                continue
            for source in options:
                assert (ROOT / source).exists(), f"{source} is not there"
                is_all = source == "." and _ignored_by_default()
                assert is_all or _included(source), f"{source} is not let in by .dockerignore"


def test_the_pinned_qdrant_is_one_minor_version_from_every_client_that_may_be_installed() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    [client] = [one for one in dependencies if one.startswith("qdrant-client")]
    [(low, high)] = re.findall(r">=1\.(\d+),<1\.(\d+)", client)
    [server] = re.findall(r":v1\.(\d+)\.", SERVICES["qdrant"]["image"])
    assert {abs(int(server) - minor) for minor in range(int(low), int(high))} <= {0, 1}


def test_the_build_gets_every_package_that_the_wheel_is_built_of() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = built["targets"]["wheel"]
    for needed in (*wheel["packages"], *wheel.get("force-include", {}), "pyproject.toml"):
        assert _included(needed), f"{needed} is not let in by .dockerignore"
    for kept_out in ("tests", "docker", ".git", "shared"):
        assert not _included(kept_out)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_images_run_exists(path: Path) -> None:
    found = dict(_instructions(path))
    assert found["ENTRYPOINT"] == '["geosearch"]'
    _command_exists(yaml.safe_load(found["CMD"]))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_pinned_image_a_user_and_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"]), service["image"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), "not root"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    health = service["healthcheck"]
    if health.get("disable"):
        assert service["restart"] == "no", "only what ends needs no check"
    else:
        assert health["test"][0] in ("CMD", "CMD-SHELL")
        assert health["retries"] > 1


@pytest.mark.parametrize("name", [n for n, s in SERVICES.items() if s["image"].startswith(OURS)])
def test_our_services_run_commands_that_exist_from_dockerfiles_that_exist(name: str) -> None:
    service = SERVICES[name]
    _command_exists([str(word) for word in service["command"]])
    assert (DOCKER / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert service["read_only"] is True


def test_every_queue_has_a_worker_with_and_without_a_card() -> None:
    for profiles in ([], ["cuda"]):
        served = set()
        for service in SERVICES.values():
            if (
                service.get("profiles", []) == profiles
                and service.get("command", [""])[0] == "worker"
            ):
                words = [str(word) for word in service["command"]]
                named = {words[n + 1] for n, word in enumerate(words) if word == "--queue"}
                served |= named or set(QUEUES)
        assert served == set(QUEUES)


def test_every_variable_that_is_set_is_a_setting() -> None:
    named = {
        variable
        for path in [*DOCKERFILES, DOCKER / "compose.yaml"]
        for variable in re.findall(r"GEOSEARCH_[A-Z_]+", path.read_text())
    }
    assert named
    assert named <= known_variables()


def test_secrets_come_as_files_and_are_all_used() -> None:
    used = {
        entry if isinstance(entry, str) else entry["source"]
        for service in SERVICES.values()
        for entry in service.get("secrets", [])
    }
    assert used == set(COMPOSE["secrets"])
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|API_KEY|DATABASE_URL|BROKER_URL", variable):
                assert variable.endswith("_FILE"), f"{variable} shows a secret"
                assert value.startswith("/run/secrets/")
                assert Path(value).name in {
                    e if isinstance(e, str) else e["source"] for e in service["secrets"]
                }


def test_volumes_and_networks_are_declared_and_only_the_api_is_reachable() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith(("$", ".", "/")), volume
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert ("ports" in service) == (name == "api")
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["api"]["ports"])
    used = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


def test_services_wait_for_what_they_need() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            is_ending = SERVICES[other]["healthcheck"].get("disable", False)
            ready = "service_completed_successfully" if is_ending else "service_healthy"
            assert how["condition"] == ready


def test_the_script_writes_every_secret_once(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_text((DOCKER / "make-secrets.sh").read_text())
    subprocess.run(["bash", script], check=True, capture_output=True)
    secrets = tmp_path / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    written = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {f"./secrets/{name}" for name in written} == {
        secret["file"] for secret in COMPOSE["secrets"].values()
    }
    assert written["postgres_password"] in written["database_url"]
    assert (
        yaml.safe_load(written["qdrant_config"])["service"]["api_key"]
        == (written["qdrant_api_key"])
    )
    assert written["valkey_password"] in written["broker_url"]
    subprocess.run(["bash", script], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == written


def test_secrets_are_never_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/docker/secrets/" in ignored
    assert not _included("docker")


def test_shell_words_of_health_checks_parse() -> None:
    for service in SERVICES.values():
        test = service["healthcheck"].get("test", [])
        if test and test[0] == "CMD-SHELL":
            assert shlex.split(test[1])
        if "python" in test:
            compile(test[-1], "healthcheck", "exec")
