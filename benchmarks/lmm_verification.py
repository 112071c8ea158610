"""How much verification recovers from a large multimodal model of a known error rate.

A trained re-ranker locates photos by features as in `localization.py`, and a script in the place of
a model answers each question: rightly (within 5 km) with a given accuracy, else with the place of
another photo, drawn at random. Two scripts: `independent` repeats its answer whatever it is shown;
`swayed` answers every other question that shows photos with the place that retrieval holds for the
best. Retrieval, trust and decision are the product's own; only HTTP is left out. Trust is `learned`
from agreement as in use, beginning as for a new model, or the model's is `known`
(GEOSEARCH_LMM_ACCURACY). Galleries are those of `localization.py`, and `mixed`: all questions of
both, in random order. `above_the_better` has an interval of 95 %, bootstrapped by place, and is
told for the first 300 and 1,000 photos asked, too.

    python benchmarks/lmm_verification.py FEATURES.npz [--seeds 0] [--galleries known] [--json]
    python benchmarks/lmm_verification.py --postcards    # drawn, embedded by `lite`

With `--fit-rule` nobody is asked: it prints the slope and shift that photos asked in both ways give
for `trust.RULE_SLOPE` and `RULE_SHIFT`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from localization import gallery_of, postcards
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from geosearch.evaluation.features import FeatureSet, load_features
from geosearch.evaluation.metrics import GroupBootstrap
from geosearch.geo import Coordinate, destination
from geosearch.lmm.asker import Asker
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.fakes import MemoryLedger, ScriptedClient
from geosearch.localization.candidates import Neighbor
from geosearch.localization.locator import Locator, MoreSources
from geosearch.localization.questions import TrainingGallery
from geosearch.localization.ranking import GalleryPrior, cell_of
from geosearch.localization.reasoning import Reasoner
from geosearch.localization.reranker import Reranker
from geosearch.localization.reranker_training import train_reranker
from geosearch.localization.retrieved import Retrieved
from geosearch.localization.trust import PRIOR
from geosearch.localization.verification import Proposal, Reasoned
from geosearch.records import LmmState, Tally
from geosearch.splits import block_folds

ACCURACIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SHOWN = (5, 10, 15)
TRUSTS = ("learned", "known")
FIRST = (300, 1000)
HIT_KM = 25.0
JITTER_KM = 5.0
TINY = 1e-4


@dataclass(frozen=True, slots=True)
class Asked:
    """A photo, what retrieval says of it, and where it was taken."""

    retrieved: Retrieved
    locator: Locator
    truth: Coordinate
    place: str
    is_known: bool

    @property
    def is_found(self) -> bool:
        """Whether retrieval alone is right."""
        return self.retrieved.candidates[0].coordinate.distance_km(self.truth) <= HIT_KM


class Gallery:
    """Photos in memory, of which each question may not find some."""

    def __init__(self, gallery: TrainingGallery, reranker: Reranker) -> None:
        self._gallery, self._reranker = gallery, reranker
        self.places = [one.coordinate for one in gallery.photos if one.coordinate is not None]
        self._cells = [cell_of(place.lat, place.lon) for place in self.places]
        counts = Counter(self._cells)
        self._prior = GalleryPrior((row, column, n) for (row, column), n in counts.items())

    def locator(self, row: int, *, is_known: bool, is_rule: bool) -> Locator:
        """A locator that may not find the photo itself, or nothing of its block."""
        block = self._gallery.block
        hidden = np.arange(len(block)) == row if is_known else block == block[row]
        prior = self._prior
        if not is_known:
            gone = np.flatnonzero(hidden).tolist()
            prior = prior.without(Counter(self._cells[at] for at in gone))

        def nearest(query: NDArray[np.float32], limit: int) -> Sequence[Neighbor]:
            scores = np.where(hidden, -np.inf, self._gallery.vectors @ query)
            best = np.argsort(-scores)[: min(limit, int((~hidden).sum()))]
            return [Neighbor(self._gallery.photos[at], float(scores[at])) for at in best.tolist()]

        return Locator(
            nearest,
            lambda where: "",
            encoder=self._reranker.encoder,
            reranker=None if is_rule else self._reranker,
            sources=MoreSources(prior=prior),
        )


def asked_photos(features: FeatureSet, seed: int, *, is_rule: bool) -> tuple[Gallery, list[Asked]]:
    """Half of the blocks train a re-ranker; the photos of the others are asked, both ways."""
    half = block_folds(features.lat, features.lon, 1.0, places=features.place, folds=2, seed=seed)
    reranker = train_reranker(
        gallery_of(features, np.flatnonzero(half == 0)), encoder="features", seed=seed
    )
    everything = gallery_of(features, np.arange(len(features)))
    gallery = Gallery(everything, reranker)
    found = []
    rows = np.flatnonzero(half == 1)
    for number, row in enumerate(rows.tolist()):
        for is_known in (True, False):
            locator = gallery.locator(row, is_known=is_known, is_rule=is_rule)
            retrieved = locator.retrieve(everything.vectors[row])
            if retrieved.candidates:
                place = str(features.place[row])
                found.append(Asked(retrieved, locator, gallery.places[row], place, is_known))
        if number % 500 == 0:
            sys.stderr.write(f"seed {seed}: {number} of {len(rows)} photos retrieved\n")
    return gallery, found


def reasoner_of(known: Tally) -> Reasoner:
    """The part of the product that holds and learns trust; nothing is asked through it here."""
    config = LmmConfig(Path("lmm.yaml"), (Deployment("script", {"model": "x/script"}),))
    return Reasoner(Asker(ScriptedClient(lambda *_: ""), config, MemoryLedger()), known=known)


def advised(
    one: Asked,
    places: Sequence[Coordinate],
    accuracy: float,
    rng: np.random.Generator,
    *,
    is_swayed: bool,
) -> Reasoned:
    """What the script says of a photo: alone, and with photos shown."""
    is_right, wrong = rng.random() < accuracy, places[int(rng.integers(len(places)))]
    bearing_deg, distance_km = rng.uniform(0.0, 360.0), rng.uniform(0.0, JITTER_KM)
    right = destination(one.truth, bearing_deg=float(bearing_deg), distance_km=float(distance_km))
    answer = right if is_right else wrong
    proposals = [Proposal(answer, "script zero-shot")]
    for count in SHOWN:
        repeats = is_swayed and rng.random() < 0.5
        said = one.retrieved.candidates[0].coordinate if repeats else answer
        proposals.append(Proposal(said, f"script with {count} photos found", saw_neighbors=True))
    return Reasoned(tuple(proposals), state=LmmState.ANSWERED)


def measure(
    asked: Sequence[Asked],
    places: Sequence[Coordinate],
    accuracy: float,
    seed: int,
    *,
    is_swayed: bool,
    trust: str,
) -> dict[str, Any]:
    """Percent within `HIT_KM` of retrieval, script and system, over photos in random order."""
    rng = np.random.default_rng(seed)
    order = [asked[at] for at in rng.permutation(len(asked)).tolist()]
    known = Tally(1000.0 * accuracy, 1000.0) if trust == "known" else PRIOR
    reasoner = reasoner_of(known)
    right = np.zeros((len(order), 3))
    for at, one in enumerate(order):
        retrieved = one.retrieved
        reasoned = advised(one, places, accuracy, rng, is_swayed=is_swayed)
        believed = reasoner.trust(retrieved)
        decided = one.locator.decide(retrieved, image="", reasoned=reasoned, trust=believed)
        reasoner.learn(retrieved, reasoned, ())
        answers = (reasoned.proposals[0], decided.best)
        right[at] = (
            one.is_found,
            *(
                answer is not None and answer.coordinate.distance_km(one.truth) <= HIT_KM
                for answer in answers
            ),
        )
    believed = reasoner.trust(order[-1].retrieved)
    reasoner.close()
    row = figures(100.0 * right, [one.place for one in order], seed)
    row["rate_at_the_end"] = round(believed.rate, 2)
    if believed.reach is not None:
        row["reach_at_the_end"] = round(believed.reach.share, 3)
    return row


def figures(right: NDArray[np.float64], place: Sequence[str], seed: int) -> dict[str, Any]:
    """Of percent right (n, 3) by photos, script and both: means, and both over the better one."""
    means = right.mean(axis=0)
    gain = right[:, 2] - right[:, int(means[1] > means[0])]
    over = GroupBootstrap(np.array(place), seed=seed).mean(gain)
    row: dict[str, Any] = {"questions": len(right)}
    row |= dict(zip(("retrieval", "lmm", "system"), means.round(1).tolist(), strict=True))
    row["above_the_better"] = [round(one, 1) for one in (over.value, over.low, over.high)]
    for count in FIRST:
        first = right[:count].mean(axis=0)
        row[f"first_{count}"] = round(float(first[2] - max(first[:2])), 1)
    return row


def rows_of(
    features: FeatureSet,
    seed: int,
    galleries: Sequence[str],
    scripts: Sequence[str],
    *,
    is_rule: bool,
) -> list[dict[str, Any]]:
    """Every row of one seed."""
    gallery, found = asked_photos(features, seed, is_rule=is_rule)
    rows = []
    for name in galleries:
        asked = [one for one in found if name == "mixed" or one.is_known == (name == "known")]
        for accuracy in ACCURACIES:
            for script in scripts:
                for trust in TRUSTS:
                    row = {
                        "seed": seed,
                        "gallery": name,
                        "accuracy": accuracy,
                        "script": script,
                        "trust": trust,
                    }
                    rows.append(
                        row
                        | measure(
                            asked,
                            gallery.places,
                            accuracy,
                            seed,
                            is_swayed=script == "swayed",
                            trust=trust,
                        )
                    )
                    sys.stderr.write(f"{rows[-1]}\n")
    return rows


def rule_fit(asked: Sequence[Asked]) -> dict[str, float]:
    """Logistic fit of being right on the log-odds of the best candidate's share of the support.

    The shift is that of as many right answers as wrong ones, as `trust.EVEN` assumes.
    """
    share = np.array([min(1.0, one.retrieved.candidates[0].share) for one in asked])
    kept = np.clip(share, TINY, 1.0 - TINY)
    right = np.array([one.is_found for one in asked])
    fit = LogisticRegression(C=np.inf).fit(np.log(kept / (1.0 - kept))[:, np.newaxis], right)
    base = float(np.log(right.mean() / (1.0 - right.mean())))
    slope, shift = float(fit.coef_[0, 0]), float(fit.intercept_[0]) - base
    return {"photos": len(asked), "right": float(right.mean()), "slope": slope, "shift": shift}


def main() -> None:
    """Run the comparison and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "features", type=Path, nargs="?", help="an .npz of image features with labels"
    )
    parser.add_argument("--postcards", action="store_true", help="instead of a file of features")
    parser.add_argument("--rule", action="store_true", help="rank by the rule, no re-ranker")
    parser.add_argument("--fit-rule", action="store_true", help="only fit the rule's shares")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--galleries", default="known,mixed,unknown")
    parser.add_argument("--scripts", default="independent,swayed")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    if options.postcards == (options.features is not None):
        parser.error("give either FEATURES.npz or --postcards")
    if options.postcards:
        features = postcards()
    else:
        features = load_features(options.features, dataset=options.dataset)
    if options.fit_rule:
        for seed in map(int, options.seeds.split(",")):
            _, asked = asked_photos(features, seed, is_rule=True)
            sys.stdout.write(json.dumps({"seed": seed} | rule_fit(asked)) + "\n")
        return
    rows = [
        row
        for seed in options.seeds.split(",")
        for row in rows_of(
            features,
            int(seed),
            options.galleries.split(","),
            options.scripts.split(","),
            is_rule=options.rule,
        )
    ]
    if options.json:
        sys.stdout.write(json.dumps({"dataset": features.name, "rows": rows}) + "\n")
        return
    for row in rows:
        sys.stdout.write("  ".join(f"{key}={value}" for key, value in row.items()) + "\n")


if __name__ == "__main__":
    main()
