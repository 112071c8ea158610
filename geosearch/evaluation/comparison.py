"""Methods that were trained and asked in several rounds: what differs by more than noise.

Two kinds of noise: which places are asked (the bootstrap by place) and what a training brings (the
spread over rounds, each with a seed of its own). A difference is clear only where both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from geosearch.errors import InvalidInput
from geosearch.evaluation.harness import MethodReport
from geosearch.evaluation.metrics import BANDS_KM, Estimate, GroupBootstrap, geoscore


@dataclass(frozen=True, slots=True)
class Difference:
    """What one method has above another on the same photos, paired.

    Args:
        method: the one.
        over: the other.
        within_points: percentage points by kilometres.
        geoscore: mean difference of GeoScore, its interval by place.
        by_round: the same for each round alone.
    """

    method: str
    over: str
    within_points: dict[float, Estimate]
    geoscore: Estimate
    by_round: tuple[float, ...]

    @property
    def over_rounds(self) -> Estimate | None:
        """The mean over rounds with its 95 % interval by Student's t; None of a single round."""
        n = len(self.by_round)
        if n < 2:
            return None
        mean = float(np.mean(self.by_round))
        half = float(stats.t.ppf(0.975, n - 1) * np.std(self.by_round, ddof=1) / np.sqrt(n))
        return Estimate(mean, mean - half, mean + half)

    @property
    def is_clear(self) -> bool:
        """Whether the intervals of GeoScore by place and over rounds both leave out 0."""
        rounds = self.over_rounds
        return self.geoscore.excludes_zero and rounds is not None and rounds.excludes_zero


def difference(
    report: MethodReport, over: MethodReport, bootstrap: GroupBootstrap, *, rounds: Sequence[int]
) -> Difference:
    """A method against another, both asked the same queries, round by round.

    Args:
        report: of the one.
        over: of the other.
        bootstrap: over the groups of the same queries.
        rounds: how many queries each round has, none of them 0.

    Raises:
        InvalidInput: they were not asked the same, or the rounds have more or fewer queries.
    """
    ours, theirs = errors_of(report), errors_of(over)
    if not len(ours) == len(theirs) == sum(rounds) or not all(rounds):
        raise InvalidInput(
            f"{len(ours)} and {len(theirs)} answers in rounds of {', '.join(map(str, rounds))} "
            "cannot be paired"
        )
    gained = geoscore(ours) - geoscore(theirs)  # (n,)
    hits = [100.0 * ((ours <= band).astype(np.float64) - (theirs <= band)) for band in BANDS_KM]
    score, *within = bootstrap.means(np.stack([gained, *hits], axis=-1))
    by_round = tuple(float(part.mean()) for part in np.split(gained, np.cumsum(rounds)[:-1]))
    return Difference(
        report.method, over.method, dict(zip(BANDS_KM, within, strict=True)), score, by_round
    )


def errors_of(report: MethodReport) -> NDArray[np.float64]:
    """Error of each query (n,) in km, infinite where there was no answer."""
    return np.array([outcome.error_km for outcome in report.outcomes], dtype=np.float64)


def accuracy_table(reports: Sequence[MethodReport]) -> str:
    """Markdown: shares within the bands, median error and GeoScore, with intervals."""
    bands = BANDS_KM[1:]
    head = ["method", *(f"{band:g} km" for band in bands), "median km", "GeoScore"]
    lines = [_row(head), "|---|" + "---:|" * (len(head) - 1)]
    for report in reports:
        accuracy = report.accuracy
        cells = [_share(accuracy.within_percent[band]) for band in bands]
        cells += [_whole(accuracy.error_km[0.5]), _whole(accuracy.geoscore)]
        lines.append(_row([report.method, *cells]))
    return "\n".join(lines) + "\n"


def difference_table(differences: Sequence[Difference]) -> str:
    """Markdown: each difference, paired, with the verdict."""
    bands = BANDS_KM[2:]
    head = ["method", "over", *(f"{band:g} km" for band in bands)]
    head += ["GeoScore, by place", "over rounds", "so"]
    lines = [_row(head), "|---|---|" + "---:|" * (len(bands) + 2) + "---|"]
    for one in differences:
        cells = [_signed(one.within_points[band], 1) for band in bands]
        cells.append(_signed(one.geoscore, 0))
        cells.append("one" if one.over_rounds is None else _signed(one.over_rounds, 0))
        cells.append(verdict(one))
        lines.append(_row([one.method, one.over, *cells]))
    return "\n".join(lines) + "\n"


def verdict(one: Difference) -> str:
    """In words: better, worse, or inside the noise."""
    if not one.is_clear:
        return "inside the noise"
    return "**better**" if one.geoscore.value > 0.0 else "**worse**"


def twin_table(reports: Sequence[MethodReport]) -> str:
    """Markdown: which city wins where the landmark has look-alikes."""
    head = ["method", "right city", "a look-alike", "elsewhere", "by lot among twins"]
    lines = [_row(head), "|---|" + "---:|" * 4]
    for report in reports:
        if report.twins is not None:
            twins = report.twins
            shares = (twins.right_percent, twins.look_alike_percent, twins.elsewhere_percent)
            cells = [_share(share) for share in shares]
            lines.append(_row([report.method, *cells, f"{twins.chance_percent:.1f}"]))
    return "\n".join(lines) + "\n"


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} ({estimate.low:.1f}–{estimate.high:.1f})"


def _whole(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} ({estimate.low:,.0f}–{estimate.high:,.0f})"


def _signed(estimate: Estimate, digits: int) -> str:
    value, low, high = (
        f"{number:+,.{digits}f}" for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
