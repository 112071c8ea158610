"""The page beside a checkpoint: what it was trained on, how well it does, what it is not for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geosearch.encoder.features import FeatureSet

_LIMITS = """\
- The numbers above are of held-out {held_out} of the same data sets. Photos of other cameras,
  seasons and countries do worse; measure them with `geosearch evaluate` before relying on it.
- It knows the countries it was trained on, as often as they occur in the data (see Data).
- A location is an estimate with an uncertainty, never evidence by itself: check it against the
  neighbours that the search shows.
- It works only with the backbone named above; other features are refused."""

_USE = """\
Searching a collection of labelled photos by look, words and place, and proposing where an
unlabelled photo was taken, for people who verify the proposal. Not meant for finding or following
private persons, nor for decisions about people without a person who checks them."""


def data_document(features: FeatureSet) -> dict[str, Any]:
    """Counts of the data that a model was trained on, for checkpoint.json and the card."""
    return {
        "fingerprint": features.fingerprint(),
        "photos": len(features),
        "places": len(set(features.place)),
        "datasets": _counts(features.dataset),
        "countries": _counts(features.country),
        "licenses": _counts(features.license),
        "photographers": len({author for author in features.author if author}),
    }


def write_card(training: Mapping[str, Any], *, encoder: str) -> str:
    """The model card in Markdown; `{name}` in it stands for the checkpoint's name.

    Args:
        training: what checkpoint.json holds under `training`.
        encoder: identity of the frozen backbone.
    """
    data, split, best = training["data"], training["split"], training["metrics"]
    config = training["config"]
    held_out = "places" if config["blocks_deg"] is None else f"blocks of {config['blocks_deg']:g}°"
    versions = ", ".join(f"{name} {version}" for name, version in training["versions"].items())
    return "\n".join(
        [
            "# {name}",
            "",
            "TransGeoCLIP heads and location encoder on a frozen backbone, trained by "
            "`geosearch train`.",
            "",
            f"- Backbone: `{encoder}`",
            f"- Made: {training['finished_at']}, seed {config['seed']}, "
            f"best epoch {training['best_epoch']} of {len(training['epochs'])}",
            f"- Code: commit {training['git_commit'] or 'not known'}; {versions}",
            "",
            "## Data",
            "",
            f"{data['photos']} photos of {data['places']} places by {data['photographers']} named "
            f"photographers, fingerprint `{data['fingerprint']}`.",
            "",
            *_table(("data set", "photos"), data["datasets"].items()),
            "",
            f"Countries: {_listed(data['countries'])}.",
            "",
            "## Licences",
            "",
            _licences(data["licenses"]),
            "",
            f"## Metrics on held-out {held_out}",
            "",
            f"{split['validation']} photos held out, {split['train']} trained on; the answer to "
            "a photo is the best of the training coordinates. Best epoch chosen by "
            f"`{config['monitor']}` on these same photos, so expect a little less elsewhere.",
            "",
            *_table(("metric", "value"), ((k, f"{v:.4g}") for k, v in best.items())),
            "",
            "## Limits",
            "",
            _LIMITS.format(held_out=held_out),
            "",
            "## Intended use",
            "",
            _USE,
            "",
        ]
    )


def _licences(licenses: Mapping[str, int]) -> str:
    unknown = licenses.get("not given", 0)
    text = f"Licences of the photos: {_listed(licenses)}."
    if unknown:
        text += (
            f" The licence of {unknown} photos is not given: do not publish these weights before "
            "it is clear that it allows that."
        )
    return text


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(word or "not given" for word in words).most_common())


def _listed(counts: Mapping[str, int], most: int = 30) -> str:
    words = [f"{name} {count}" for name, count in list(counts.items())[:most]]
    if len(counts) > most:
        words.append(f"and {len(counts) - most} more")
    return ", ".join(words)


def _table(header: Sequence[str], rows: Iterable[tuple[object, object]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", "|---|---|"]
    # A bar in a name, from outside, would make a column of its own.
    return lines + [f"| {str(a).replace('|', '/')} | {b} |" for a, b in rows]
