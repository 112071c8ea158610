"""Keys of the HTTP API: made, listed, revoked, looked up by their hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.models import ApiKeyRow
from geosearch.catalogue.session import session_scope
from geosearch.errors import ConfigError

SCOPES = ("read", "write", "admin")
"""Each allows what those before it do."""

_PREFIX = "gs_"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is on record; the key itself is shown once, when it is made."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None

    def allows(self, scope: str) -> bool:
        """Whether the key may do what needs this scope."""
        return any(SCOPES.index(own) >= SCOPES.index(scope) for own in self.scopes)


class ApiKeys:
    """The keys over one engine; every method raises `CatalogueError` when PostgreSQL refuses."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def create(self, name: str, scopes: Collection[str]) -> tuple[ApiKey, str]:
        """Make a key; it and the secret, which is kept nowhere.

        Raises:
            ConfigError: no name, or a scope that does not exist.
        """
        unknown = set(scopes) - set(SCOPES)
        if unknown or not scopes or not name.strip():
            raise ConfigError(
                f"a key needs a name and scopes of {', '.join(SCOPES)}; got {name!r} and "
                f"{', '.join(sorted(scopes)) or 'none'}"
            )
        secret = _PREFIX + secrets.token_urlsafe(32)
        with session_scope(self._sessions) as session:
            row = session.execute(
                insert(ApiKeyRow)
                .values(
                    id=secrets.token_hex(4),
                    name=name.strip(),
                    digest=_digest(secret),
                    scopes=sorted(set(scopes), key=SCOPES.index),
                )
                .returning(ApiKeyRow)
            ).scalar_one()
            return _key(row), secret

    def listed(self) -> list[ApiKey]:
        """All keys, oldest first, revoked ones included."""
        with session_scope(self._sessions) as session:
            rows = session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id))
            return [_key(row) for row in rows]

    def find(self, secret: str) -> ApiKey | None:
        """The key that a secret belongs to; None if there is none or it is revoked."""
        query = select(ApiKeyRow).where(
            ApiKeyRow.digest == _digest(secret), ApiKeyRow.revoked_at.is_(None)
        )
        with session_scope(self._sessions) as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _key(row)

    def revoke(self, key_id: str) -> ApiKey:
        """Take a key's rights away; harmless when done already.

        Raises:
            ConfigError: there is no such key.
        """
        with session_scope(self._sessions) as session:
            row = session.execute(
                update(ApiKeyRow)
                .where(ApiKeyRow.id == key_id)
                .values(revoked_at=func.coalesce(ApiKeyRow.revoked_at, func.now()))
                .returning(ApiKeyRow)
            ).scalar_one_or_none()
            if row is None:
                raise ConfigError(f"there is no key {key_id!r}; see: geosearch keys list")
            return _key(row)


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is no dictionary to try.
    return hashlib.sha256(secret.encode()).digest()


def _key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(row.id, row.name, tuple(row.scopes), row.created_at, row.revoked_at)
