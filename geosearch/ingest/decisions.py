"""What a source changes in the record: pure rules, no reading and no writing.

Labels have ranks: a person's word (manifest, manual) beats a sidecar, which beats EXIF, which
beats a guess; an equal rank may correct, a lower one may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from geosearch.catalogue.drafts import KnownPhoto, PhotoDraft
from geosearch.ingest.sources import Claims, Content, PhotoSource
from geosearch.records import Label, LabelSource, PhotoState, photo_id

RANKS = {
    LabelSource.MANIFEST: 4,
    LabelSource.MANUAL: 4,
    LabelSource.XMP: 3,
    LabelSource.EXIF: 2,
    LabelSource.PREDICTED: 1,
}

SAME_PLACE_DEG = 1e-9
"""Coordinates that differ by less (0.1 mm) are the same label."""


class Outcome(StrEnum):
    """The count of the report that a source goes into, `ENCODE` once that has worked."""

    ENCODE = "indexed"
    UPDATE = "updated"
    DUPLICATE = "duplicates"
    UNLABELLED = "unlabelled"
    FAIL = "failed"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a source; `draft` is the photo to write, None to leave the record alone."""

    outcome: Outcome
    draft: PhotoDraft | None = None
    reason: str | None = None


def decide_new(source: PhotoSource, content: Content) -> Decision:
    """A photo that the record has never seen."""
    draft = PhotoDraft(
        id=photo_id(content.sha256),
        sha256=content.sha256,
        uri=source.uri,
        size_bytes=len(content.data),
        state=PhotoState.PENDING,
        dataset=source.claims.dataset,
        attributes=source.claims.attributes,
    )
    if content.metadata is None:
        reason = content.problem or "not an image"
        return _failed(replace(draft, label=_label(source.claims, None)), reason)
    facts, claims = content.metadata, source.claims
    draft = replace(
        draft,
        width=facts.width,
        height=facts.height,
        label=_label(claims, facts.label),
        captured_at=claims.captured_at or facts.captured_at,
        author=claims.author or facts.author,
        license=claims.license or facts.license,
        caption=claims.caption or facts.caption,
        camera=facts.camera,
    )
    if draft.label is None:
        notes = {"notes": list(facts.notes)} if facts.notes else {}
        attributes = {**draft.attributes, **notes}
        return Decision(
            Outcome.UNLABELLED, replace(draft, state=PhotoState.UNLABELLED, attributes=attributes)
        )
    return Decision(Outcome.ENCODE, draft)


def decide_known(source: PhotoSource, known: KnownPhoto, content: Content | None) -> Decision:
    """A photo that is on record; `content` is None when its file did not change since.

    The first source of a run that brings a photo decides about its facts; another file with the
    same bytes is a duplicate, whatever its label says, so that a run ends the same way each time.
    """
    photo = known.draft
    if known.is_claimed:
        return Decision(Outcome.DUPLICATE)
    if content is not None and content.metadata is None and photo.state is not PhotoState.FAILED:
        return _failed(photo, content.problem or "not an image")
    merged = _merge(photo, source.claims, content)
    if content is not None and source.local_file is not None:
        merged = replace(merged, uri=source.uri)  # the file that is known to exist now
    changed = merged != photo
    if photo.state is PhotoState.FAILED and (content is None or content.metadata is None):
        return Decision(Outcome.FAIL, merged if changed else None, photo.error)
    if merged.label is None:
        unlabelled = replace(merged, state=PhotoState.UNLABELLED, error=None)
        return Decision(Outcome.UNLABELLED, unlabelled if unlabelled != photo else None)
    if photo.state is not PhotoState.INDEXED or not known.is_embedded:
        return Decision(Outcome.ENCODE, replace(merged, state=PhotoState.PENDING, error=None))
    if _facts_differ(merged, photo):
        # Not indexed until the index carries the new facts, so that a crash cannot forget them.
        return Decision(Outcome.UPDATE, replace(merged, state=PhotoState.EMBEDDED))
    return Decision(Outcome.DUPLICATE, merged if changed else None)


def _failed(draft: PhotoDraft, reason: str) -> Decision:
    return Decision(Outcome.FAIL, replace(draft, state=PhotoState.FAILED, error=reason), reason)


def _label(claims: Claims, found: Label | None) -> Label | None:
    if claims.coordinate is not None:
        return Label(claims.coordinate, claims.label_source)
    return found


def _merge(photo: PhotoDraft, claims: Claims, content: Content | None) -> PhotoDraft:
    """Claims replace what is recorded; facts of a file only fill what is blank."""
    facts = None if content is None else content.metadata
    new_label = _label(claims, None if facts is None else facts.label)
    found: Mapping[str, Any] = {
        name: getattr(photo, name) or (None if facts is None else getattr(facts, name))
        for name in ("captured_at", "author", "license", "caption", "camera", "width", "height")
    }
    claimed = {
        name: value
        for name in ("captured_at", "author", "license", "caption", "dataset")
        if (value := getattr(claims, name)) is not None
    }
    return replace(
        photo,
        **{**found, **claimed},
        label=_better(photo.label, new_label),
        attributes={**photo.attributes, **claims.attributes},
    )


def _better(recorded: Label | None, new: Label | None) -> Label | None:
    if recorded is None or new is None:
        return recorded or new
    if RANKS[new.source] < RANKS[recorded.source]:
        return recorded
    same = (
        abs(new.coordinate.lat - recorded.coordinate.lat) < SAME_PLACE_DEG
        and abs(new.coordinate.lon - recorded.coordinate.lon) < SAME_PLACE_DEG
    )
    if same and RANKS[new.source] == RANKS[recorded.source]:
        return recorded
    return new


def _facts_differ(one: PhotoDraft, other: PhotoDraft) -> bool:
    """Whether anything a user can see changed; where the file lies now is not such a thing."""
    return replace(one, uri=other.uri) != other
