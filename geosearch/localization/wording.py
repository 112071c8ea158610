"""What the steps of locating say, and the reasons why there is no answer, in words for people."""

from __future__ import annotations

from collections.abc import Sequence

from geosearch.geo import Coordinate, distance_words
from geosearch.localization.candidates import Neighbor
from geosearch.localization.pool import Pool
from geosearch.localization.reranker import Reranker
from geosearch.localization.shortlist import Entry
from geosearch.records import Candidate


def introduction(voices: Sequence[Neighbor], n_found: int) -> tuple[str, Coordinate | None]:
    """What retrieval says, and the place of the nearest photo."""
    summary = f"{n_found} photos found, {len(voices)} of them with a place and a score"
    if not voices:
        return summary, None
    nearest = voices[0]
    shown = nearest.photo.path or f"photo {nearest.photo.id}"
    return f"{summary}; the nearest ({nearest.score:.3f}) is {shown}", nearest.photo.coordinate


def searched(channel: str, found: Sequence[Neighbor]) -> str:
    """What one search found, without naming a photo: the catalogue has not been asked yet."""
    first = f", the first with {found[0].score:.3f}" if found else ""
    return f"{channel}: {len(found)} photos found{first}"


def modes(pool: Pool, entries: Sequence[Entry]) -> tuple[str, Coordinate]:
    """What the density of the support says."""
    best = entries[0]
    photos = sum(1 for row in best.members if row < len(pool.neighbors))
    return (
        f"{photos} of {len(pool.neighbors)} photos, with {best.share:.0%} of the support, agree on "
        f"one place; {len(entries) - 1} alternatives"
    ), best.coordinate


def ranking(pool: Pool, entries: Sequence[Entry]) -> tuple[str, Coordinate]:
    """What the re-ranker says."""
    best = entries[0]
    sure = f", is right within 25 km with {best.within[25]:.0%}" if best.within else ""
    return (
        f"{len(pool.places)} places from {', '.join(pool.channels)}; the best, found by "
        f"{', '.join(best.origins)}{sure}; {len(entries) - 1} alternatives"
    ), best.coordinate


def uncertainty(best: Candidate, reranker: Reranker | None) -> tuple[str, str, Coordinate]:
    """How sure the answer is, and whether that was measured: name, summary and place of a step."""
    radius_km = best.radius_km
    if reranker is not None and reranker.conformal is not None:
        return (
            "uncertainty",
            f"calibrated on {reranker.conformal.questions} answers for photos held out: the truth "
            f"is within {distance_words(radius_km[50])} for half of such answers, within "
            f"{distance_words(radius_km[90])} for 90 %",
            best.coordinate,
        )
    return (
        "uncertainty",
        f"not calibrated ({_why_uncalibrated(reranker)}): half the support lies within "
        f"{distance_words(radius_km[50])}, 90 % within {distance_words(radius_km[90])}",
        best.coordinate,
    )


def _why_uncalibrated(reranker: Reranker | None) -> str:
    """What it would take to calibrate."""
    if reranker is None:
        return "run `geosearch train reranker`"
    blocks, needed = reranker.about["blocks"], reranker.about["blocks_needed"]
    return f"calibration takes {needed} blocks of one degree, there are {blocks}"


def why_nothing(
    found: Sequence[Neighbor],
    voices: Sequence[Neighbor],
    min_score: float,
    background: float | None,
) -> str | None:
    """The reason why these neighbours support no answer at all, None when they may."""
    if not found:
        return "no photo to compare with: the gallery, or the part searched, is empty"
    if not voices:
        return (
            f"none of the {len(found)} photos found has both a place and a similarity of at least "
            f"{min_score:g} (the best has {found[0].score:.3f})"
        )
    top = voices[0].score
    if background is not None and top <= background:
        return (
            f"the most similar photo ({top:.3f}) is no nearer than unrelated photos of the "
            f"gallery are to each other ({background:.3f})"
        )
    return None


def why_scattered(best: Candidate, limit_km: float | None, is_calibrated: bool) -> str | None:
    """The reason why the support is too scattered for an answer, None when it is not."""
    if limit_km is None or best.radius_km[50] <= limit_km:
        return None
    if is_calibrated:
        return (
            f"nothing tells the places apart: of answers as weak as the best here, half were more "
            f"than {limit_km:.0f} km off when photos of known places were asked"
        )
    return (
        f"the most similar photos are scattered over the world: only {best.share:.0%} of their "
        f"support is at the best place, half of it is more than {best.radius_km[50]:.0f} km away"
    )
