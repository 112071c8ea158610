"""Taking a photo out of the record, with every path, waiting row and answer that names it."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import zip_longest
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Text, cast, delete, select
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.indexes import note_changes
from geosearch.catalogue.lmm_tables import LmmAnswerRow
from geosearch.catalogue.models import IntakeRow, JobRow, PhotoRow, SourceRow, UploadRow
from geosearch.catalogue.session import session_scope

GONE = "deleted"
"""What stands for the name and the outcome of an upload whose photo was deleted afterwards."""

_GONE_UPLOAD = {"name": GONE, "id": None, "reason": "the photo was deleted", "outcome": GONE}
_GONE_ANSWER = "the answer rested on a photo that was deleted since; locate the photo again"


def sources_of(engine: Engine, photo_id: UUID) -> list[str]:
    """Every path or URL that held a photo."""
    with session_scope(sessionmaker(engine)) as session:
        return list(session.scalars(select(SourceRow.uri).where(SourceRow.photo_id == photo_id)))


def remove_photo(engine: Engine, photo_id: UUID, *, removed_from: Collection[str] = ()) -> bool:
    """Delete a photo and all that the record knows of it; whether there was one.

    Args:
        engine: of the catalogue.
        photo_id: which photo.
        removed_from: encoders whose indexes do not hold it any more; others learn of it.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    sources = select(SourceRow.uri).where(SourceRow.photo_id == photo_id)
    with session_scope(sessionmaker(engine)) as session:
        note_changes(session, [photo_id], seen_by=removed_from, are_gone=True)
        session.execute(delete(IntakeRow).where(IntakeRow.uri.in_(sources)))
        gone = session.execute(
            delete(PhotoRow).where(PhotoRow.id == photo_id).returning(PhotoRow.id)
        )
        return gone.scalar_one_or_none() is not None


def redact_answers(engine: Engine, photo_id: UUID) -> None:
    """Take a photo out of kept answers to uploads and out of the results of jobs.

    A repeated upload still gets its answer, in which the photo is deleted, and does not bring it
    back. Of a prediction that rests on the photo nothing is left: its place is the photo's.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    wanted = str(photo_id)
    with session_scope(sessionmaker(engine)) as session:
        uploads = select(UploadRow).where(cast(UploadRow.answer, Text).contains(wanted))
        for upload in session.scalars(uploads.with_for_update()):
            photos = [_redacted(one, wanted) for one in upload.answer["photos"]]
            upload.answer = upload.answer | {"photos": photos}
        jobs = select(JobRow).where(cast(JobRow.results, Text).contains(wanted))
        for job in session.scalars(jobs.with_for_update()):
            results = [_redacted(one, wanted) for one in job.results]
            job.names = [
                GONE if result == _GONE_UPLOAD else name
                for name, result in zip_longest(job.names, results)
            ]
            job.results = results


def forget_model_answers(engine: Engine, picture: str) -> None:
    """Delete what models answered about a picture.

    Args:
        engine: of the catalogue.
        picture: sha256 (hex) of the picture that was sent.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    with session_scope(sessionmaker(engine)) as session:
        session.execute(delete(LmmAnswerRow).where(LmmAnswerRow.picture == picture))


def _redacted(result: dict[str, Any], photo_id: str) -> dict[str, Any]:
    """What is left of the result of an upload or of a prediction when a photo is gone."""
    if result.get("id") == photo_id:
        return _GONE_UPLOAD
    if photo_id not in json.dumps(result):
        return result
    return {"image": result.get("image"), "reason": _GONE_ANSWER}
