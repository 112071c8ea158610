"""A model asked in several ways; its answers as proposals, its failures as steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from geosearch.errors import ConfigError, LmmRejected, LmmUnavailable
from geosearch.geo import Coordinate
from geosearch.lmm.asker import Asker
from geosearch.lmm.calls import Call
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.fakes import MemoryLedger, ScriptedClient
from geosearch.localization.candidates import Neighbor
from geosearch.localization.learning import ProcessObservations
from geosearch.localization.reasoning import REST_S, Reasoner, ReasoningSettings
from geosearch.localization.retrieved import Retrieved
from geosearch.records import Candidate, LmmState, PhotoFact, Step, Tally

MakeJpeg = Callable[..., bytes]
LUND, SUVA = Coordinate(55.705, 13.193), Coordinate(-18.1, 178.4)
GOOD = '{"latitude": 55.705, "longitude": 13.193, "place": "Lund", "reasoning": "brick"}'


def photo(number: int, score: float) -> Neighbor:
    fact = PhotoFact(
        UUID(int=number), f"/secret/{number}.jpg", LUND, "Lund, Sweden", "SE", None, "d", "Eve",
        None, "a caption",
    )  # fmt: skip
    return Neighbor(fact, score)


def retrieved(count: int = 20, *, near: float = 0.5, near_share: float | None = None) -> Retrieved:
    best = Candidate(LUND, 0.5, "Lund", {50: 1.0, 90: 9.0}, (), within={25: near})
    return Retrieved(
        tuple(photo(number, 0.9 - 0.01 * number) for number in range(count)),
        (best,) if count else (),
        (),
        None if count else "nothing alike",
        0.1,
        negatives=(photo(99, -0.5),),
        near_share=near_share,
        is_calibrated=near_share is not None,
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Make = Callable[..., tuple[Reasoner, ScriptedClient, Clock]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Reasoner] = []

    def make(
        reply: Callable[[Deployment, Call], str | Exception], **options: object
    ) -> tuple[Reasoner, ScriptedClient, Clock]:
        config = LmmConfig(
            Path("lmm.yaml"), (Deployment("eye", {"model": "x/eye"}, where="line 1"),), retries=0
        )
        client, clock = ScriptedClient(reply), Clock()
        asker = Asker(client, config, MemoryLedger(), clock=clock, sleep=lambda _: None)
        made.append(Reasoner(asker, clock=clock, **options))  # type: ignore[arg-type]
        return made[-1], client, clock

    yield make
    for one in made:
        one.close()


def test_one_question_is_independent_and_the_others_tell_of_more_and_more_photos(
    make: Make, make_jpeg: MakeJpeg
) -> None:
    reasoner, client, _ = make(lambda *_: GOOD)
    told: list[Step] = []
    found = reasoner.begin(make_jpeg(1), retrieved(), hint="brick").result(told.append)
    prompts = sorted((call.text for _, call in client.calls), key=len)
    assert [text.count("similarity") for text in prompts] == [0, 6, 11, 16]  # one is a negative
    assert all("Lund, Sweden" in text for text in prompts[1:])
    assert not any(word in text for text in prompts for word in ("secret", "Eve", "caption"))
    assert [(one.origin, one.saw_neighbors) for one in found.proposals] == [
        ("eye zero-shot", False),
        ("eye with 5 photos found", True),
        ("eye with 10 photos found", True),
        ("eye with 15 photos found", True),
    ]
    assert tuple(told) == found.steps
    assert "(Lund): brick; $0.0010" in found.steps[0].summary
    assert (found.state, found.cost_usd) == (LmmState.ANSWERED, pytest.approx(0.004))


def test_photos_that_support_no_place_are_not_told_of(make: Make, make_jpeg: MakeJpeg) -> None:
    reasoner, client, _ = make(lambda *_: GOOD)
    reasoner.begin(make_jpeg(1), retrieved(0)).result()
    assert len(client.calls) == 1


def test_no_more_calls_are_under_way_than_allowed(make: Make, make_jpeg: MakeJpeg) -> None:
    lock, running, most = threading.Lock(), [0], [0]
    gate = threading.Event()

    def reply(deployment: Deployment, call: Call) -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == 3:
                gate.set()
        gate.wait(30)
        with lock:
            running[0] -= 1
        return GOOD

    reasoner, client, _ = make(reply, settings=ReasoningSettings(samples=2, concurrency=3))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: reasoner.begin(make_jpeg(n), retrieved()).result(), range(4)))
    assert (most[0], len(client.calls)) == (3, 32)


def test_a_model_without_a_reply_for_three_photos_rests_and_is_asked_again_later(
    make: Make, make_jpeg: MakeJpeg
) -> None:
    reasoner, client, clock = make(lambda *_: LmmUnavailable("down"))
    states = [reasoner.begin(make_jpeg(n), retrieved(0)).result().state for n in range(5)]
    assert states == [LmmState.FAILED] * 5
    assert len(client.calls) == 3
    clock.now += REST_S
    reasoner.begin(make_jpeg(7), retrieved(0)).result()
    assert len(client.calls) == 4


def test_a_model_that_refuses_the_key_rests_at_once_and_says_why(
    make: Make, make_jpeg: MakeJpeg
) -> None:
    reasoner, client, _ = make(lambda *_: LmmRejected("check api_key", status=401))
    reasoner.begin(make_jpeg(1), retrieved(0)).result()
    second = reasoner.begin(make_jpeg(2), retrieved(0)).result()
    assert len(client.calls) == 1
    assert "not asked again yet: check api_key" in second.steps[0].summary
    assert second.models == ("eye",)


@pytest.mark.parametrize("near_share", [None, 0.4])
def test_trust_is_learned_from_agreement_with_a_re_ranker_and_without(
    make: Make, make_jpeg: MakeJpeg, near_share: float | None
) -> None:
    reasoner, _, _ = make(lambda *_: GOOD)
    sure = retrieved(near=0.9, near_share=near_share)
    before = reasoner.trust(sure)
    reasoner.begin(make_jpeg(2), sure).result()
    after = reasoner.trust(sure)
    assert after.rate > before.rate
    assert after.reach is not None
    assert before.reach is not None
    assert after.reach.share > before.reach.share


def test_what_is_learned_outlives_the_reasoner_and_a_photo_asked_twice_counts_once(
    make: Make, make_jpeg: MakeJpeg
) -> None:
    kept = ProcessObservations()
    first, _, _ = make(lambda *_: GOOD, observations=kept)
    sure = retrieved(near=0.9, near_share=0.4)
    first.begin(make_jpeg(1), sure).result()
    learned = first.trust(sure)
    first.begin(make_jpeg(1), sure).result()
    assert first.trust(sure) == learned
    second, _, _ = make(lambda *_: GOOD, observations=kept)
    assert second.trust(sure) == learned
    second.begin(make_jpeg(2), sure).result()
    assert first.trust(sure).rate > learned.rate


def test_what_a_fallback_answers_teaches_nothing_of_the_model(make_jpeg: MakeJpeg) -> None:
    config = LmmConfig(
        Path("lmm.yaml"),
        (
            Deployment("eye", {"model": "x/eye"}, where=""),
            Deployment("ear", {"model": "x/ear"}, where=""),
        ),
        retries=0,
        fallbacks={"eye": ("ear",)},
    )

    def reply(deployment: Deployment, _: Call) -> str | Exception:
        return GOOD if deployment.name == "ear" else LmmUnavailable("down")

    asker = Asker(ScriptedClient(reply), config, MemoryLedger(), sleep=lambda _: None)
    reasoner = Reasoner(asker, "eye")
    sure = retrieved(near=0.9, near_share=0.4)
    before = reasoner.trust(sure)
    assert reasoner.begin(make_jpeg(1), sure).result().state is LmmState.ANSWERED
    assert reasoner.trust(sure) == before
    reasoner.close()


def test_a_photo_that_nothing_was_found_for_is_answered_with_what_was_learned(
    make: Make, make_jpeg: MakeJpeg
) -> None:
    reasoner, _, _ = make(lambda *_: GOOD)
    sure, nothing = retrieved(near=0.9, near_share=0.4), retrieved(0, near_share=0.4)
    reasoner.begin(make_jpeg(1), sure).result()
    reasoner.begin(make_jpeg(2), nothing).result()
    assert reasoner.trust(nothing) == reasoner.trust(sure)


def test_an_accuracy_that_is_known_hardly_moves(make: Make, make_jpeg: MakeJpeg) -> None:
    reasoner, _, _ = make(lambda *_: GOOD, known=Tally(700.0, 1000.0))
    sure = retrieved(near=0.9, near_share=0.4)
    reasoner.begin(make_jpeg(1), sure).result()
    assert reasoner.trust(sure).rate == pytest.approx(0.7, abs=0.01)
    assert reasoner.trust(retrieved()).rate == pytest.approx(0.7, abs=0.01)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="samples 0"):
        ReasoningSettings(samples=0)
    with pytest.raises(ConfigError, match="limit_s 0"):
        ReasoningSettings(limit_s=0.0)
