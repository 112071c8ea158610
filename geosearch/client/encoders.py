"""Encoders and their indexes: found by name, listed, dropped."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.encoder.registry import Registry
from geosearch.errors import ConfigError
from geosearch.records import EncoderChoice, IndexRecord, IndexState
from geosearch.services import Services
from geosearch.store.inventory import PREFIX


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """An index as `geosearch encoders` lists it; `missing` photos would be in it if it were whole.

    `id` is what commands take; `wanted` tells whether its encoder is the one that is chosen.
    """

    id: str
    encoder: str
    collection: str
    state: IndexState
    backbone: str | None
    heads: str | None
    photos: int
    missing: int
    wanted: bool


def index_summaries(services: Services) -> list[IndexSummary]:
    """Every index on record, the one in use first."""
    counts = services.catalogue.embedded_counts()
    indexed = services.catalogue.counts()["indexed"]
    wanted = services.opener.wanted
    return [
        IndexSummary(
            id=short_id(record),
            encoder=record.encoder,
            collection=record.collection,
            state=record.state,
            backbone=None if record.choice is None else record.choice.backbone,
            heads=None if record.choice is None else record.choice.heads,
            photos=counts.get(record.encoder, 0),
            missing=max(0, indexed - counts.get(record.encoder, 0)),
            wanted=record.choice == wanted,
        )
        for record in services.indexes.all()
    ]


def short_id(record: IndexRecord) -> str:
    """The twelve digits that name an index in commands."""
    return record.collection.removeprefix(PREFIX)


def choice_of(services: Services, name: str) -> EncoderChoice:
    """The encoder by the name of its heads or of its index, or the beginning of one; or `none`.

    Raises:
        ConfigError: none or several are called so, or what made the index is not known.
    """
    settings = services.settings
    if name == "none":
        return EncoderChoice(settings.encoder)
    found = find_indexes(services, name)
    if len(found) == 1 and found[0].choice is not None:
        return found[0].choice
    if found:
        raise ConfigError(
            f"{name!r} names {len(found)} indexes, or one of an unknown encoder; choose the "
            "encoder by GEOSEARCH_ENCODER and geosearch encoders activate instead"
        )
    return EncoderChoice(settings.encoder, Registry(settings.home).get(name).name)


def find_indexes(services: Services, name: str) -> list[IndexRecord]:
    """Indexes by the beginning of their id, by encoder identity, or by the name of the encoder."""
    return [
        record
        for record in services.indexes.all()
        if name and (short_id(record).startswith(name) or name in _names(record))
    ]


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was deleted: indexes by their ids, and trained heads by their name."""

    indexes: tuple[str, ...]
    heads: str | None


def drop_encoder(services: Services, name: str) -> Dropped:
    """Delete an encoder's index and vectors, and its heads; killed half way, do it again.

    Args:
        services: whose home and collection.
        name: an index by the beginning of its id or by its encoder, or heads by their name.

    Raises:
        ConfigError: nothing or several are called so, or it is chosen or in use.
        CatalogueError, StoreError: an engine refused.
    """
    registry = Registry(services.settings.home)
    found = find_indexes(services, name)
    heads = None
    if not found or any(record.choice and record.choice.heads == name for record in found):
        heads = registry.get(name).name
        found = find_indexes(services, heads)
    if len(found) > 1:
        raise ConfigError(
            f"{name!r} names {len(found)} indexes: {', '.join(map(short_id, found))}; give one"
        )
    if any(record.state is IndexState.ACTIVE for record in found):
        raise ConfigError(
            f"{name!r} is in use; choose another encoder and run geosearch reindex first"
        )
    if heads is not None and heads == registry.active_name():
        registry.drop(heads)  # which refuses and says what to do
    for record in found:
        with services.indexes.reindexing(record.encoder):
            # The list last: until then the same name finds what is left.
            services.collections.drop(record.collection)
            services.indexes.drop(record.encoder)
    if heads is not None:
        registry.drop(heads)
    return Dropped(tuple(map(short_id, found)), heads)


def _names(record: IndexRecord) -> set[str]:
    choice = record.choice
    names = {record.encoder, record.collection}
    if choice is not None:
        names |= {str(choice)} | ({choice.heads} if choice.heads else set())
    return names
