"""Real HTTP, through LiteLLM, to a loopback server that speaks each provider's wire format."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.lmm_server import (
    COST,
    DROPPED,
    GARBAGE,
    REFUSED,
    SLOW,
    WIRES,
    Act,
    LmmServer,
    Seen,
    fault,
    good,
)

import geosearch
from geosearch.errors import LmmRejected, LmmTimeout, LmmUnavailable
from geosearch.lmm.accounts import CallState, Limits
from geosearch.lmm.answers import Answer, Refusal, Unparsable
from geosearch.lmm.asker import Asker
from geosearch.lmm.attempts import Question
from geosearch.lmm.calls import CostSource
from geosearch.lmm.client import LiteLlmClient
from geosearch.lmm.config import load_config
from geosearch.lmm.fakes import MemoryLedger
from geosearch.lmm.pictures import prepare_picture
from geosearch.lmm.prompts import zero_shot_prompt

MakeJpeg = Callable[..., bytes]


class Script:
    """Acts in order; the last is repeated."""

    def __init__(self, *acts: Act) -> None:
        self.acts, self.count, self.lock = acts, 0, threading.Lock()

    def __call__(self, seen: Seen) -> Act:
        with self.lock:
            self.count += 1
            return self.acts[min(self.count, len(self.acts)) - 1]


class Bench:
    """A server, a configuration for it, and an asker that does not sleep."""

    def __init__(self, server: LmmServer, path: Path, wire: str, more: str = "") -> None:
        self.server, self.ledger = server, MemoryLedger()
        self.slept: list[float] = []
        self.config = load_config(server.write_config(path, wire, more=more))
        self.client = LiteLlmClient(self.config)
        self.asker = Asker(
            self.client,
            self.config,
            self.ledger,
            limits=Limits(run_usd=1.0),
            sleep=self.slept.append,
            seed=1,
        )


@pytest.fixture
def question(make_jpeg: MakeJpeg) -> Question:
    photo = make_jpeg(3, gps=(48.2, 16.37), size=(300, 200))
    return Question(prepare_picture(photo, edge=128), zero_shot_prompt(), "zero-shot")


@pytest.mark.parametrize("wire", WIRES)
def test_the_same_question_is_answered_by_every_provider(
    wire: str, tmp_path: Path, question: Question
) -> None:
    with LmmServer(Script(good(-33.86, 151.21, "Sydney"))) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire)
        name = bench.asker.check(None)
        advice = bench.asker.ask(question, name)
        again = bench.asker.ask(question, name)
    assert server.complaints == []
    assert isinstance(advice.outcome, Answer)
    assert advice.outcome.place == "Sydney"
    assert (advice.outcome.coordinate.lat, advice.outcome.coordinate.lon) == (-33.86, 151.21)
    assert advice.cost_usd == pytest.approx(COST)
    assert advice.cost_source is CostSource.CONFIG
    assert advice.calls == 1
    assert (again.is_cached, again.cost_usd, again.outcome) == (True, 0.0, advice.outcome)
    assert len(server.seen) == 1
    assert server.seen[0].text == question.text
    assert server.seen[0].picture == question.picture.data
    assert server.seen[0].has_format


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("acts", "outcome", "calls"),
    [
        ((Act("```json\n" + good(1.5, 2.5).text + "\n```"),), Answer, 1),
        ((REFUSED,), Refusal, 1),
        ((GARBAGE, good(1.5, 2.5)), Answer, 2),
        ((GARBAGE,), Unparsable, 2),
        ((fault(500), good(1.5, 2.5)), Answer, 2),
        ((DROPPED, good(1.5, 2.5)), Answer, 2),
    ],
    ids=["fenced", "refused", "repaired", "garbage", "500", "dropped"],
)
def test_faults_end_in_the_right_outcome(
    wire: str, acts: tuple[Act, ...], outcome: type, calls: int, tmp_path: Path, question: Question
) -> None:
    with LmmServer(Script(*acts)) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire)
        advice = bench.asker.ask(question, "eye")
    assert server.complaints == []
    assert isinstance(advice.outcome, outcome)
    assert len(server.seen) == calls
    settled = bench.ledger.states().count(CallState.SETTLED)
    assert settled == len(server.served)
    assert advice.cost_usd == pytest.approx(COST * settled)


@pytest.mark.parametrize("wire", WIRES)
def test_a_limited_rate_is_waited_for_as_long_as_the_provider_asks(
    wire: str, tmp_path: Path, question: Question
) -> None:
    with LmmServer(Script(fault(429, "slow down", Retry_After="7"), good(1.5, 2.5))) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire)
        advice = bench.asker.ask(question, "eye")
    assert isinstance(advice.outcome, Answer)
    assert len(bench.slept) == 1
    assert 7.0 <= bench.slept[0] < 8.0
    assert bench.ledger.states() == [CallState.FAILED, CallState.SETTLED]


@pytest.mark.parametrize("wire", WIRES)
def test_a_provider_that_stays_down_is_a_named_error_after_three_tries(
    wire: str, tmp_path: Path, question: Question
) -> None:
    with LmmServer(Script(fault(503, "overloaded"))) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire)
        with pytest.raises(LmmUnavailable, match="503") as caught:
            bench.asker.ask(question, "eye")
    assert len(server.seen) == 3
    assert len(bench.slept) == 2
    assert not caught.value.is_payment_unknown


@pytest.mark.parametrize("wire", WIRES)
def test_a_slow_provider_is_given_up_and_its_cost_stays_set_aside(
    wire: str, tmp_path: Path, question: Question
) -> None:
    more = "router_settings:\n  num_retries: 0\n  timeout: 0.5\n"
    with LmmServer(Script(SLOW)) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire, more)
        with pytest.raises(LmmTimeout):
            bench.asker.ask(question, "eye")
    assert bench.ledger.states() == [CallState.UNKNOWN]


@pytest.mark.parametrize("wire", WIRES)
def test_an_unknown_model_and_a_wrong_key_say_where_to_mend_it(
    wire: str, tmp_path: Path, question: Question
) -> None:
    with LmmServer(Script(fault(404, "no such model"), fault(401, "bad key"))) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire)
        with pytest.raises(LmmRejected, match=r"lmm\.yaml, line 2: .* check model and api_base"):
            bench.asker.ask(question, "eye")
        with pytest.raises(LmmRejected, match=r"lmm\.yaml, line 2: .* check api_key"):
            bench.asker.ask(question, "eye")
    assert len(server.seen) == 2


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_that_refuses_schemas_is_asked_in_plain_words_and_remembered(
    wire: str, tmp_path: Path, question: Question
) -> None:
    def script(seen: Seen) -> Act:
        return fault(400, "response_format is not supported") if seen.has_format else good(1, 2)

    with LmmServer(script) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", wire)
        assert isinstance(bench.asker.ask(question, "eye").outcome, Answer)
        first = len(server.seen)
        assert isinstance(bench.asker.ask(question, "eye", sample=1).outcome, Answer)
    assert 2 <= first <= 3
    assert len(server.seen) == first + 1


def test_the_model_that_really_answered_is_recorded(tmp_path: Path, question: Question) -> None:
    with LmmServer(Script(Act(good(1, 2).text, model="quite-another"))) as server:
        bench = Bench(server, tmp_path / "lmm.yaml", "openai")
        assert bench.asker.ask(question, "eye").answered_by == "quite-another"


def test_nothing_but_the_models_address_is_ever_connected_to(
    tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    """In a process of its own, with every look-up and connection written down."""
    script = """
import socket, sys
hosts = set()
real_connect, real_lookup = socket.socket.connect, socket.getaddrinfo
def connect(self, address):
    hosts.add(str(address[0]))
    return real_connect(self, address)
def lookup(host, *rest, **more):
    hosts.add(str(host)); return real_lookup(host, *rest, **more)
socket.socket.connect, socket.getaddrinfo = connect, lookup
from pathlib import Path
from geosearch.lmm.config import load_config
from geosearch.lmm.client import LiteLlmClient
from geosearch.lmm.calls import AnswerMode, Call
from geosearch.lmm.pictures import prepare_picture
assert "litellm" not in sys.modules
for path in sys.argv[2:]:
    config = load_config(Path(path)); client = LiteLlmClient(config)
    call = Call("where?", prepare_picture(Path(sys.argv[1]).read_bytes()), AnswerMode.SCHEMA, 60.0)
    client.estimate(config.deployments[0], call)
    assert not client.refuses_pictures(config.deployments[0])
    client.missing_keys(config.deployments[0])
    client.complete(config.deployments[0], call)
print(sorted(hosts))
"""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(make_jpeg(1))
    with LmmServer(Script(good(1, 2))) as server:
        paths = [server.write_config(tmp_path / f"{wire}.yaml", wire) for wire in WIRES]
        process = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, str(photo), *map(str, paths)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(geosearch.__file__).parent.parent)},
            timeout=300,
            check=False,
        )
    assert process.returncode == 0, process.stderr[-2000:]
    # LiteLLM looks for an Ollama on this machine when it is asked about one elsewhere.
    assert process.stdout.strip() in ("['127.0.0.1']", "['127.0.0.1', 'localhost']")
    assert process.stderr == ""
    assert len(server.served) == 4
