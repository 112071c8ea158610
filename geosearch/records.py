"""The words of the house: values that pass between its rooms, without behaviour of their own.

No module here opens, decodes or stores anything; persistence lives in `catalogue/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from geosearch.geo import Coordinate

POINT_NAMESPACE = UUID("6d1e1f9c-6c1b-5d0e-9a53-0c6b1d0f7a11")
"""Namespace of point ids; changing it orphans every point that was ever written."""


def photo_id(sha256: str) -> UUID:
    """The id of a photo in catalogue and vector store alike: uuid5 of its bytes' sha256 (hex)."""
    return uuid5(POINT_NAMESPACE, sha256)


class LabelSource(StrEnum):
    """Where a photo's coordinate comes from; measured labels and guesses are never mixed up."""

    MANIFEST = "manifest"
    EXIF = "exif"
    XMP = "xmp"
    MANUAL = "manual"
    PREDICTED = "predicted"


class PhotoState(StrEnum):
    """How far a photo has come; `FAILED` has a reason, `UNLABELLED` waits for a coordinate."""

    PENDING = "pending"
    EMBEDDED = "embedded"
    INDEXED = "indexed"
    FAILED = "failed"
    UNLABELLED = "unlabelled"


class LmmState(StrEnum):
    """What a large multimodal model added to a prediction."""

    NOT_ASKED = "not-asked"
    """None is configured, or it was not wanted."""
    ANSWERED = "answered"
    """It proposed at least one place."""
    REFUSED = "refused"
    """No reply named a place that can be used; the photos decided alone."""
    FAILED = "failed"
    """It gave no reply: down, too slow, wrong key; the photos decided alone."""
    OVER_BUDGET = "over-budget"
    """It was not asked, because that might have cost more than is allowed."""


@dataclass(frozen=True, slots=True)
class Label:
    """A coordinate and where it comes from."""

    coordinate: Coordinate
    source: LabelSource


@dataclass(frozen=True, slots=True)
class Place:
    """Names around a coordinate; `country` is the ISO 3166-1 alpha-2 code."""

    country: str
    country_name: str
    region: str | None
    city: str | None
    distance_km: float | None = None

    def __str__(self) -> str:
        # A capital often shares its region's name, a small state its capital's: once is enough.
        parts = dict.fromkeys((self.city, self.region, self.country_name))
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """What a photo's own bytes and its sidecar say about it.

    `captured_at` carries a time zone; `notes` says in words what was present and could not be used
    (a GPS tag of 0/0, an impossible date), so that a missing label has a reason.
    """

    width: int
    height: int
    label: Label | None = None
    captured_at: datetime | None = None
    author: str | None = None
    license: str | None = None
    caption: str | None = None
    camera: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PhotoFact:
    """What the catalogue knows of one photo, as answers need it."""

    id: UUID
    path: str
    coordinate: Coordinate | None
    place: str
    country: str | None
    captured_at: datetime | None
    dataset: str | None
    author: str | None
    license: str | None
    caption: str | None


@dataclass(frozen=True, slots=True)
class PhotoEntry:
    """A photo of the collection: its facts, whose word its place is, how far it has come.

    `photo.place` names the place in words, `region` and `city` its parts; `error` says why it
    failed. Sizes are in pixels, None where it could not be decoded.
    """

    photo: PhotoFact
    state: PhotoState
    label_source: LabelSource | None
    region: str | None
    city: str | None
    width: int | None
    height: int | None
    error: str | None


class IndexState(StrEnum):
    """What the index of an encoder is for."""

    FILLING = "filling"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """What loads an encoder: the backbone as GEOSEARCH_ENCODER names it, and its trained heads."""

    backbone: str
    heads: str | None = None

    def __str__(self) -> str:
        return self.backbone if self.heads is None else f"{self.backbone} {self.heads}"


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """The index of one encoder identity as recorded; `choice` is None where nobody knows it."""

    encoder: str
    collection: str
    state: IndexState
    choice: EncoderChoice | None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One photo found; `score` is the cosine of the fused vectors, None if none were compared.

    `distance_km` is measured from the centre of the search when it has one.
    """

    photo: PhotoFact
    score: float | None
    distance_km: float | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits in order, how many photos the filter matched, and which plan found them.

    `encoder` is the identity whose index all hits come from, None where nothing was compared.
    """

    hits: tuple[SearchHit, ...]
    matched: int
    plan: str
    seconds: float
    encoder: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A neighbour that speaks for a place: the photo, its cosine, its distance to the answer."""

    photo: PhotoFact
    score: float
    distance_km: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible place: its share of the support (0 to 1) and the photos that give it.

    `within` is the probability (0 to 1) that the truth lies within so many kilometres, empty where
    nothing is known of it; `origins` says which channels or advisers proposed the place.
    """

    coordinate: Coordinate
    share: float
    place: str
    radius_km: dict[int, float]
    evidence: tuple[Evidence, ...]
    within: dict[int, float] = field(default_factory=dict)
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of locating proposed, in its own words and numbers."""

    name: str
    summary: str
    coordinate: Coordinate | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Where a photo was taken, or why nothing can be said.

    `best` is None exactly when `reason` says why; `alternatives` are spread out and do not repeat
    it. Radii are in kilometres at confidence levels in percent. `is_calibrated` tells whether radii
    and probabilities were measured on held-out photos or only follow from the spread of the
    support; `negatives` are the photos least like this one, `models` the advisers asked, `lmm` what
    came of asking a large multimodal model.
    """

    image: str
    best: Candidate | None
    alternatives: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    encoder: str
    reason: str | None = None
    cost_usd: float = 0.0
    seconds: float = 0.0
    is_calibrated: bool = False
    negatives: tuple[SearchHit, ...] = ()
    models: tuple[str, ...] = ()
    lmm: LmmState = LmmState.NOT_ASKED


@dataclass(frozen=True, slots=True)
class Tally:
    """How many photos of known places were answered rightly, and how many there were.

    Both may be parts of a photo: a belief counts as photos seen.
    """

    hits: float = 0.0
    asked: float = 0.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """A model and a ranking of photos, whose agreement teaches how often either is right.

    Args:
        model: its name in lmm.yaml.
        deployments: LiteLLM's model strings behind that name.
        ranked_by: what put the photos' places in order: the encoder and the re-ranker or the rule.
        stated: share of right answers that the ranking's probabilities assume.
        expected: share of right answers to be expected before anything is observed.
    """

    model: str
    deployments: str
    ranked_by: str
    stated: float
    expected: float


@dataclass(frozen=True, slots=True)
class Observation:
    """Whether model and photos agreed, once; nothing in it says about which photo.

    Args:
        probability: that the photos' best place is right, as the ranking stated it.
        agreed: whether the model's independent answer was within 25 km of that place.
    """

    probability: float
    agreed: bool


@dataclass(frozen=True, slots=True)
class IngestError:
    """One photo or row that could not be taken in, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class IngestReport:
    """Counts of one ingest run; every scanned photo is in exactly one of the other counts."""

    scanned: int = 0
    indexed: int = 0
    updated: int = 0
    duplicates: int = 0
    unlabelled: int = 0
    failed: int = 0
    errors: list[IngestError] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class ReindexReport:
    """What was done to the index of `encoder`; photos of `failed` are left out of it.

    `updated` photos were in it and got newer facts, `removed` ones have no place in it any more.
    """

    encoder: str
    collection: str
    scanned: int = 0
    indexed: int = 0
    updated: int = 0
    removed: int = 0
    failed: int = 0
    switched: bool = False
    previous: str | None = None
    errors: list[IngestError] = field(default_factory=list)
    seconds: float = 0.0
