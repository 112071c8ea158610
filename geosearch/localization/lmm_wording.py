"""What a large multimodal model said, in words for people. Its own words are cut short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from geosearch.errors import LmmError
from geosearch.lmm.answers import Answer, Refusal, Unparsable, clean_words
from geosearch.lmm.asker import Advice
from geosearch.records import LmmState

_QUOTED = 300


def advice(
    heard: Sequence[Advice], failed: Sequence[LmmError], outside: Sequence[Answer] = ()
) -> str:
    """What came of one question: places, reasons, refusals, failures, cost.

    Args:
        heard: the replies.
        failed: why there was none, of those that failed.
        outside: answers that lie outside the search area.
    """
    parts = []
    for one in heard:
        match one.outcome:
            case Answer() as answer:
                where = " (outside the search area, left out)" if answer in outside else ""
                parts.append(f"{one.model} says {_place(answer)}{where}{_because(answer)}")
            case Refusal(reason):
                parts.append(f"{one.model} gives no place: {clean_words(reason, _QUOTED)}")
            case Unparsable(reason):
                parts.append(f"the reply of {one.model} cannot be used: {reason}")
    parts += [f"no reply: {error}" for error in failed]
    counted = [text if n == 1 else f"{n} times: {text}" for text, n in Counter(parts).items()]
    return "; ".join([*counted, *_cost(heard)])


def no_proposal(model: str, state: LmmState) -> str:
    """Why a model has no say in an answer."""
    match state:
        case LmmState.REFUSED:
            return f"{model} names no place that can be used"
        case LmmState.OVER_BUDGET:
            return f"{model} was not asked, since that might cost more than is allowed"
    return f"{model} gave no reply"


def _place(answer: Answer) -> str:
    named = f" ({clean_words(answer.place, 120)})" if answer.place else ""
    notes = "".join(f" [{note}]" for note in answer.notes)
    return f"{answer.coordinate}{named}{notes}"


def _because(answer: Answer) -> str:
    return f": {clean_words(answer.reasoning, _QUOTED)}" if answer.reasoning else ""


def _cost(heard: Sequence[Advice]) -> list[str]:
    if not heard:
        return []
    if all(one.is_cached for one in heard):
        return ["asked before, no cost"]
    if any(one.cost_usd is None for one in heard):
        return ["price not known"]
    return [f"${sum(one.cost_usd or 0.0 for one in heard):.4f}"]
