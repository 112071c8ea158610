"""The learned re-ranker: probabilities of places from their features, and calibrated radii.

Small on purpose: one logistic function a distance, coefficients in a file of plain numbers that
cannot run code. Trained by `reranker_training.py` on the user's own photos.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.drafts import drafted_file
from geosearch.encoder.identity import EncoderIdentity
from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import HALF_EARTH_KM
from geosearch.localization.metric import PlaceMetric
from geosearch.localization.pool import FUSED, LEARNED
from geosearch.localization.ranking import FEATURES

FORMAT = 3
BANDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0, 5000.0, 10000.0)
"""Distances whose probabilities are learned; the last two only shape wide radii."""

REPORTED_KM = BANDS_KM[:5]
NEAR = BANDS_KM.index(25.0)
"""The band that says whether an answer is right: a city."""

NEAREST_KM = 0.05
"""Radii begin here: GPS of phones is off by tens of metres."""

REACH = 4.0
"""Standard deviations at which features are cut off: nothing was learned beyond them, and one value
that no photo of the training had must not outvote all others."""

_LEARNED_IN_CITY = FEATURES.index(f"{LEARNED}_log_rank_in_city")
_FUSED_IN_CITY = FEATURES.index(f"{FUSED}_log_rank_in_city")
_ARRAYS = ("mean", "scale", "coefficients", "intercepts", "sharpness", "shift")


@dataclass(frozen=True, slots=True)
class Conformal:
    """Parts of the predicted distribution that held so much of the errors of held-out photos.

    Nobody can tell whether the gallery knows the place of a new photo. The wide radius (90 %) is
    therefore the wider of what photos of known places need and what photos of unknown surroundings
    need: it holds its level for either kind. The narrow one (50 %) holds its level of both kinds
    together, asked equally often.

    Args:
        quantiles: percent to quantile of the predicted distribution.
        questions: answers that it was measured on.
        groups: blocks that these lie in.
    """

    quantiles: dict[int, float]
    questions: int
    groups: int


@dataclass(frozen=True, slots=True)
class Reranker:
    """Coefficients of one encoder.

    Args:
        encoder: identity of the encoder whose scores these are for.
        mean: (f,) of each feature; absent features count as their mean.
        scale: (f,) standard deviation of each feature.
        coefficients: (bands, f), of standardised features.
        intercepts: (bands,).
        sharpness: (bands,) and `shift` (bands,): what calibration makes of the best place's
            log-odds, which are too sure of themselves because the best was chosen.
        shift: (bands,).
        conformal: for radii; None where the photos lay in too few blocks to calibrate, and then
            its probabilities put places in order but are not to be shown.
        near_share: part of the answers that it was calibrated on which were right to 25 km.
        metric: for the channel `learned`; None where nothing could be learned.
        about: what it was trained on, for people; `blocks` is how many blocks of one degree the
            photos asked lay in, `blocks_needed` how many calibration takes.
    """

    encoder: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    shift: NDArray[np.float64]
    conformal: Conformal | None
    near_share: float
    metric: PlaceMetric | None
    about: dict[str, Any]

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """That each place (n, f) is within each of `BANDS_KM`: (n, bands), rising with distance."""
        odds = self.log_odds(features) * self.sharpness + self.shift
        rising = np.maximum.accumulate(1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30))), axis=1)
        return np.asarray(rising, dtype=np.float64)

    def merit(
        self, features: NDArray[np.float64], probabilities: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What places (n, f) are ranked by, (n,): the sum of probabilities over `REPORTED_KM`.

        That sum favours the street over the city and the city over the country, each as far as it
        is likely. Within a city the place that looks most alike goes first.
        """
        total = probabilities[:, : len(REPORTED_KM)].sum(axis=1)
        leads = features[:, _LEARNED_IN_CITY]
        if np.isnan(leads).all():
            leads = features[:, _FUSED_IN_CITY]
        return np.asarray(total - len(REPORTED_KM) * (leads > 0.0), dtype=np.float64)

    def log_odds(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Before calibration, (n, bands)."""
        standard = standardized(features, self.mean, self.scale)
        return np.asarray(standard @ self.coefficients.T + self.intercepts, dtype=np.float64)

    def fingerprint(self) -> str:
        """Eight hexadecimal digits of what its probabilities come from: another one, others."""
        digest = hashlib.sha256(f"{self.encoder} {self.near_share!r}".encode())
        for name in _ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name), dtype=np.float64).data)
        return digest.hexdigest()[:8]

    def radius_km(self, probabilities: NDArray[np.float64], level: int) -> float | None:
        """The radius that holds `level` percent of truths; None where that was not calibrated.

        Args:
            probabilities: (bands,) of the answer.
            level: percent, one of those calibrated.

        Source: distributional conformal prediction, Chernozhukov, Wüthrich and Zhu (2021), PNAS.
        """
        if self.conformal is None:
            return None
        wanted = self.conformal.quantiles[level]
        heights = np.concatenate([[0.0], probabilities, [1.0]])
        return float(10.0 ** np.interp(wanted, heights, _LOG_KM))


def standardized(
    features: NDArray[np.float64], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Features (n, f) in standard deviations (f,) from their mean (f,), cut off at `REACH`.

    Absent ones count as their mean.
    """
    standard = np.nan_to_num((features - mean) / scale, nan=0.0)
    return np.asarray(np.clip(standard, -REACH, REACH), dtype=np.float64)


_LOG_KM = np.log10(np.array([NEAREST_KM, *BANDS_KM, HALF_EARTH_KM]))


def distribution_at(
    probabilities: NDArray[np.float64], error_km: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The predicted distribution (n, bands) at errors (n,): how much of it lies nearer."""
    heights = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=(0.0, 1.0))
    at = np.log10(np.clip(error_km, NEAREST_KM, HALF_EARTH_KM))
    return np.array([np.interp(x, _LOG_KM, row) for x, row in zip(at, heights, strict=True)])


def reranker_path(home: Path, identity: EncoderIdentity) -> Path:
    """Where the re-ranker of an encoder is kept in a home."""
    return home / "rerankers" / f"{identity.short}.npz"


def save_reranker(reranker: Reranker, path: Path) -> None:
    """Write a re-ranker, whole or not at all.

    Raises:
        ConfigError: the folder cannot be written.
        StorageFull: no room is left.
    """
    conformal = reranker.conformal
    document = {
        "format": FORMAT,
        "encoder": reranker.encoder,
        "features": FEATURES,
        "bands_km": BANDS_KM,
        "about": reranker.about,
        "near_share": reranker.near_share,
        "conformal": None
        if conformal is None
        else {
            "quantiles": conformal.quantiles,
            "questions": conformal.questions,
            "groups": conformal.groups,
        },
    }
    arrays: dict[str, NDArray[Any]] = {name: getattr(reranker, name) for name in _ARRAYS}
    if reranker.metric is not None:
        arrays |= {"metric": reranker.metric.matrix, "center": reranker.metric.mean}
    with drafted_file(path) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, document=np.array(json.dumps(document)), **arrays)


def load_reranker(path: Path, *, encoder: str) -> Reranker | None:
    """The re-ranker in a file; None where there is no file.

    Raises:
        ConfigError: it belongs to another encoder or to another version of the features.
        InvalidInput: it is damaged.
    """
    again = "run `geosearch train reranker` to make a new one, or delete the file"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        document = json.loads(str(arrays.pop("document")))
        if (document["format"], tuple(document["features"])) != (FORMAT, FEATURES):
            raise ConfigError(f"{path} was made by another version of geosearch; {again}")
        if document["encoder"] != encoder:
            raise ConfigError(
                f"{path} is the re-ranker of the encoder {document['encoder']}, and the one in use "
                f"is {encoder}; {again}"
            )
        return _checked(document, arrays)
    except FileNotFoundError:
        return None
    except ConfigError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path} is damaged ({str(error)[:120]}); {again}") from error


def _checked(document: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Reranker:
    """A re-ranker from what was stored; ValueError where shapes or numbers do not fit."""
    bands, width = len(BANDS_KM), len(FEATURES)
    shapes = dict(zip(_ARRAYS, ((width,), (width,), (bands, width), *[(bands,)] * 3), strict=True))
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} must be {shape} finite numbers")
    metric = None
    if "metric" in arrays:
        matrix, center = arrays["metric"], arrays["center"]
        if matrix.shape != (len(center), len(center)) or not np.isfinite(matrix).all():
            raise ValueError("the metric must be a square of finite numbers")
        metric = PlaceMetric(matrix.astype(np.float32), center.astype(np.float32))
    near_share = float(document["near_share"])
    if not 0.0 < near_share < 1.0:
        raise ValueError("near_share must lie between 0 and 1")
    found = document["conformal"]
    conformal = found and Conformal(
        {int(level): float(part) for level, part in found["quantiles"].items()},
        int(found["questions"]),
        int(found["groups"]),
    )
    return Reranker(
        encoder=str(document["encoder"]),
        conformal=conformal or None,
        near_share=near_share,
        metric=metric,
        about=dict(document["about"]),
        **{name: arrays[name].astype(np.float64) for name in _ARRAYS},
    )
