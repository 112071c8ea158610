"""Training a re-ranker on labelled photos: coefficients, calibration, radii.

Folds are whole blocks: metric, coefficients and calibration never see the block that they are
judged on. The only user of scikit-learn; nothing of it is stored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import ConfigError
from geosearch.localization.metric import PlaceMetric, learn_metric
from geosearch.localization.questions import (
    Progress,
    Questions,
    TrainingGallery,
    ask,
    joined,
    place_numbers,
)
from geosearch.localization.ranking import FEATURES
from geosearch.localization.reranker import (
    BANDS_KM,
    NEAR,
    Conformal,
    Reranker,
    distribution_at,
    standardized,
)
from geosearch.localization.uncertainty import LEVELS

FOLDS = 3
MIN_BLOCKS = 6
"""Blocks with photos, two for each fold; with fewer there is nothing to hold out."""

MIN_QUESTIONS = 60
CALIBRATION_BLOCKS = 100
"""Blocks with photos asked, below which nothing is said of how sure an answer is. Photos of one
block succeed and fail together, so blocks count and not photos: with 100 of them the share of
truths inside a 90 % radius is known to 3 points (one standard error)."""

EITHER_KIND_FROM = 80
"""Levels from which a radius must hold for known and unknown places, each kind by itself."""

CLOSE_PLACES = 30
"""Places of each question that coefficients are learned from: the strongest."""


def train_reranker(
    gallery: TrainingGallery,
    *,
    encoder: str,
    questions: int = 3000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reranker:
    """A calibrated re-ranker from labelled photos.

    Args:
        gallery: the photos; of some thousands, those of one block together.
        encoder: identity of the encoder that made the vectors.
        questions: the most photos asked, each twice.
        seed: of folds and of the choice of photos.
        progress: told (questions asked, questions in all).

    Raises:
        ConfigError: too few photos or blocks to hold any out.
    """
    folds = _folds(gallery.block, seed)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(gallery.photos))[:questions])
    if len(rows) < MIN_QUESTIONS:
        raise ConfigError(
            f"{len(rows)} labelled photos are too few to train on; it takes {MIN_QUESTIONS}, and "
            "some hundreds to be of use: ingest more"
        )
    places = place_numbers(gallery)
    parts: list[Questions] = []
    for fold in range(FOLDS):
        outside = folds != fold
        metric = learn_metric(gallery.vectors[outside], places[outside])
        asked = rows[folds[rows] == fold]
        done = sum(len(part.row) for part in parts) // 2
        tell = None if progress is None else _counting(progress, done, len(rows))
        parts.append(ask(gallery, asked, metric, fold=fold, progress=tell))
    found = joined(parts)
    return _fitted(
        found,
        gallery,
        encoder=encoder,
        metric=learn_metric(gallery.vectors, places),
        about={
            "photos": len(gallery.photos),
            "questions": len(rows),
            "seed": seed,
            "blocks": len(np.unique(gallery.block[rows])),
            "blocks_needed": CALIBRATION_BLOCKS,
        },
    )


def chosen_places(reranker: Reranker, questions: Questions) -> NDArray[np.int64]:
    """The row of the place that the re-ranker answers each question with (q,)."""
    features = questions.features
    merit = reranker.merit(features, reranker.probabilities(features))
    order = np.lexsort((-merit, questions.question))
    _, first = np.unique(questions.question[order], return_index=True)
    return np.asarray(order[first], dtype=np.int64)


def _folds(block: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    names, index = np.unique(block, return_inverse=True)
    if len(names) < MIN_BLOCKS:
        raise ConfigError(
            f"the photos lie in {len(names)} blocks of one degree; it takes {MIN_BLOCKS} to hold "
            "some out: ingest photos of more places"
        )
    fold = np.random.default_rng(seed).permutation(len(names)) % FOLDS
    return np.asarray(fold[np.asarray(index).ravel()], dtype=np.int64)


def _fitted(
    found: Questions,
    gallery: TrainingGallery,
    *,
    encoder: str,
    metric: PlaceMetric | None,
    about: dict[str, int],
) -> Reranker:
    """Coefficients from all folds; calibration from answers of coefficients of the other folds."""
    everywhere = np.ones(len(found.row), dtype=np.bool_)
    reranker = _coefficients(found, everywhere, encoder, metric, about)
    odds, errors, known, blocks = [], [], [], []
    for fold in range(FOLDS):
        inside = found.fold == fold
        if not inside.any() or inside.all():
            continue
        other = _coefficients(found, ~inside, encoder, None, about)
        answers = chosen_places(other, found)[inside]
        odds.append(other.log_odds(found.features[answers]))
        errors.append(found.error_km[answers])
        known.append(found.is_known[inside])
        blocks.append(gallery.block[found.row[inside]])
    error_km, is_known = np.concatenate(errors), np.concatenate(known)
    sharpness, shift = _sharpened(np.concatenate(odds), error_km)
    hits = int((error_km <= BANDS_KM[NEAR]).sum())
    near_share = (hits + 1.0) / (len(error_km) + 2.0)  # neither 0 nor 1, as Platt's targets
    calibrated = replace(reranker, sharpness=sharpness, shift=shift, near_share=near_share)
    spread = np.concatenate(odds) * sharpness + shift
    predicted = np.maximum.accumulate(1.0 / (1.0 + np.exp(-np.clip(spread, -30, 30))), axis=1)
    parts = distribution_at(predicted, error_km)
    groups = len(np.unique(np.concatenate(blocks)))
    if groups < CALIBRATION_BLOCKS:
        return calibrated
    return replace(calibrated, conformal=_conformal(parts, is_known, groups))


def _coefficients(
    found: Questions,
    use: NDArray[np.bool_],
    encoder: str,
    metric: PlaceMetric | None,
    about: dict[str, int],
) -> Reranker:
    from sklearn.linear_model import LogisticRegression

    rows = np.flatnonzero(_is_close(found) & use[found.question])
    features = found.features[rows]
    empty = ~np.isfinite(features).any(axis=0)
    mean, scale = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
    mean[~empty] = np.nanmean(features[:, ~empty], axis=0)
    spread = np.nanstd(features[:, ~empty], axis=0)
    # A feature that never varied here teaches nothing, and must not shout where it does vary.
    scale[~empty] = np.where(spread > 1e-6, spread, 1.0)
    standard = standardized(features, mean, scale)
    coefficients = np.zeros((len(BANDS_KM), len(FEATURES)))
    intercepts = np.zeros(len(BANDS_KM))
    for band, radius_km in enumerate(BANDS_KM):
        right = found.error_km[rows] <= radius_km
        if right.all() or not right.any():
            # Nothing to tell apart; Laplace's rule of succession keeps the odds finite.
            intercepts[band] = np.log((right.sum() + 1.0) / ((~right).sum() + 1.0))
            continue
        fit = LogisticRegression(C=1.0, max_iter=500).fit(standard, right)
        coefficients[band], intercepts[band] = fit.coef_[0], fit.intercept_[0]
    ones, zeros = np.ones(len(BANDS_KM)), np.zeros(len(BANDS_KM))
    return Reranker(
        encoder, mean, scale, coefficients, intercepts, ones, zeros, None, 0.5, metric, dict(about)
    )


def _is_close(found: Questions) -> NDArray[np.bool_]:
    """Places (p,) among the strongest of their question in any channel."""
    columns = [at for at, name in enumerate(FEATURES) if name.endswith("_log_rank")]
    best = np.nanmin(found.features[:, columns], axis=1)
    order = np.lexsort((best, found.question))
    starts = np.searchsorted(found.question[order], found.question[order])
    close = np.zeros(len(best), dtype=np.bool_)
    close[order] = np.arange(len(order)) - starts < CLOSE_PLACES
    return close


def _sharpened(
    odds: NDArray[np.float64], error_km: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and shift (bands,) that make the chosen places' odds (q, bands) come true.

    Source: Platt (1999), with his targets: a hit among n counts as (n + 1) / (n + 2) of one, so
        that no odds are infinite where all answers were right, or none.
    """
    from sklearn.linear_model import LogisticRegression

    sharpness, shift = np.ones(len(BANDS_KM)), np.zeros(len(BANDS_KM))
    either = np.repeat([1, 0], len(error_km))
    for band, radius_km in enumerate(BANDS_KM):
        right = error_km <= radius_km
        hits, misses = int(right.sum()), int((~right).sum())
        target = np.where(right, (hits + 1.0) / (hits + 2.0), 1.0 / (misses + 2.0))
        twice = np.tile(odds[:, band], 2)[:, None]  # each answer as hit and as miss, by its target
        fit = LogisticRegression(C=100.0).fit(
            twice, either, sample_weight=np.concatenate([target, 1.0 - target])
        )
        # A negative slope would turn the order round: then the share of right answers is all.
        sharpness[band] = max(0.0, float(fit.coef_[0, 0]))
        flat = np.log((hits + 1.0) / (misses + 1.0))
        shift[band] = float(fit.intercept_[0]) if sharpness[band] > 0.0 else flat
    return sharpness, shift


def _conformal(parts: NDArray[np.float64], is_known: NDArray[np.bool_], groups: int) -> Conformal:
    """Quantiles of where errors fell in their predicted distribution."""
    kinds = [parts[is_known], parts[~is_known]]
    quantiles = {}
    for level in LEVELS:
        groups_of = kinds if level >= EITHER_KIND_FROM else [parts]
        quantiles[level] = max(_quantile(one, level) for one in groups_of)
    return Conformal(quantiles, len(parts), groups)


def _quantile(parts: NDArray[np.float64], level: int) -> float:
    # The (n + 1)-th of n: the new photo is one of the sample, too.
    at = int(np.ceil((len(parts) + 1) * level / 100.0))
    return float(np.sort(parts)[min(len(parts), at) - 1])


def _counting(progress: Progress, done: int, total: int) -> Progress:
    return lambda asked, _: progress(done + asked, total)
