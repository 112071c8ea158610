"""Methods that were asked the same photos under several seeds: what differs by more than noise.

Two kinds of noise: which places are asked (the bootstrap by place) and what a seed brings (the
signs by seed). A difference counts as clear only where both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.harness import MethodReport
from geosearch.evaluation.metrics import BANDS_KM, Estimate, GroupBootstrap, geoscore


@dataclass(frozen=True, slots=True)
class Difference:
    """What one method has above another on the same photos, paired.

    Args:
        method: the one.
        over: the other.
        within_points: percentage points by kilometres.
        geoscore: mean difference of GeoScore.
        by_seed: the same for each seed alone.
    """

    method: str
    over: str
    within_points: dict[float, Estimate]
    geoscore: Estimate
    by_seed: tuple[float, ...]

    @property
    def is_clear(self) -> bool:
        """Whether the interval of GeoScore leaves out 0 and all seeds have the same sign."""
        signs = {value > 0.0 for value in self.by_seed}
        return self.geoscore.excludes_zero and len(signs) == 1 and 0.0 not in self.by_seed


def repeated(dataset: Dataset, seeds: int) -> Dataset:
    """Every query once for each seed, seed by seed; places stay what they are.

    Raises:
        InvalidInput: no seed.
    """
    if seeds < 1:
        raise InvalidInput(f"{seeds} seeds; give 1 or more")
    queries: list[Query] = []
    for seed in range(seeds):
        queries += [replace(query, id=f"{query.id} seed {seed}") for query in dataset.queries]
    return replace(dataset, queries=tuple(queries))


def difference(
    report: MethodReport, over: MethodReport, bootstrap: GroupBootstrap, *, seeds: int
) -> Difference:
    """A method against another, both asked the queries of `repeated`.

    Args:
        report: of the one.
        over: of the other.
        bootstrap: over the groups of the same queries.
        seeds: how many blocks the queries are made of.

    Raises:
        InvalidInput: they were not asked the same, or the queries are no blocks of equal length.
    """
    ours, theirs = errors_of(report), errors_of(over)
    if len(ours) != len(theirs) or len(ours) % seeds:
        raise InvalidInput(
            f"{len(ours)} and {len(theirs)} answers under {seeds} seeds cannot be paired"
        )
    gained = geoscore(ours) - geoscore(theirs)  # (n,)
    hits = [100.0 * ((ours <= band).astype(np.float64) - (theirs <= band)) for band in BANDS_KM]
    score, *within = bootstrap.means(np.stack([gained, *hits], axis=-1))
    by_seed = tuple(float(part.mean()) for part in np.split(gained, seeds))
    return Difference(
        report.method, over.method, dict(zip(BANDS_KM, within, strict=True)), score, by_seed
    )


def scores_by_seed(report: MethodReport, seeds: int) -> tuple[float, ...]:
    """GeoScore of a method for each seed alone."""
    return tuple(float(part.mean()) for part in np.split(geoscore(errors_of(report)), seeds))


def errors_of(report: MethodReport) -> NDArray[np.float64]:
    """Error of each query (n,) in km, infinite where there was no answer."""
    return np.array([outcome.error_km for outcome in report.outcomes], dtype=np.float64)


def accuracy_table(reports: Sequence[MethodReport], seeds: int) -> str:
    """Markdown: shares within the bands, median error, GeoScore with interval and by seed."""
    bands = BANDS_KM[1:]
    head = ["method", *(f"{band:g} km" for band in bands), "median km", "GeoScore", "by seed"]
    lines = [_row(head), "|---|" + "---:|" * (len(head) - 1)]
    for report in reports:
        accuracy = report.accuracy
        by_seed = scores_by_seed(report, seeds)
        same = max(by_seed) - min(by_seed) < 1e-9
        cells = [_share(accuracy.within_percent[band]) for band in bands]
        cells += [_whole(accuracy.error_km[0.5]), _whole(accuracy.geoscore)]
        cells.append("–" if same else " ".join(f"{value:,.0f}" for value in by_seed))
        lines.append(_row([report.method, *cells]))
    return "\n".join(lines) + "\n"


def difference_table(differences: Sequence[Difference]) -> str:
    """Markdown: each difference, paired, with the verdict."""
    bands = BANDS_KM[2:]
    head = ["method", "over", *(f"{band:g} km" for band in bands), "GeoScore", "by seed", "so"]
    lines = [_row(head), "|---|---|" + "---:|" * (len(bands) + 2) + "---|"]
    for one in differences:
        cells = [_signed(one.within_points[band], 1) for band in bands]
        cells.append(_signed(one.geoscore, 0))
        cells.append(" ".join(f"{value:+,.0f}" for value in one.by_seed))
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
