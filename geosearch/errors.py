"""The one tree of errors: every failure a caller may want to tell apart.

GeosearchError
├── ConfigError (ValueError)          a setting or an argument is wrong; exit code 2
│   ├── MissingDependency             an optional package is not installed
│   ├── MissingWeights                the encoder's weights are not on this machine
│   └── IncompatibleHome              GEOSEARCH_HOME was made by another version
├── HomeLocked (TimeoutError)         another process holds GEOSEARCH_HOME
├── InvalidInput (ValueError)         data from outside does not parse
│   ├── InvalidCoordinate
│   ├── InvalidArea
│   ├── InvalidManifest
│   ├── UnreadableImage
│   ├── UnknownPhoto                  the collection holds no photo by that id
│   └── LabelRefused                  a photo keeps the label that it has
├── BackupError (ValueError)          a backup is damaged, or would overwrite something
├── StorageFull (OSError)             the disk has no room left; nothing recorded is lost
├── BrokerError                       Redis or RabbitMQ cannot be reached
├── CatalogueError                    PostgreSQL refused or cannot be reached
├── ServerError                       a GeoSearch server gave no answer that can be used
│   ├── ServerUnreachable (ConnectionError)  nothing answers there, or the connection broke
│   ├── ServerTimeout (TimeoutError)  it took too long
│   ├── ServerBusy                    it asks to come back later, again and again
│   └── AccessDenied (PermissionError)  the key is missing or wrong, or may not do this
├── LmmError                          a large multimodal model gave no reply
│   ├── LmmUnavailable                it is down, limits the rate or drops the connection
│   │   └── LmmTimeout (TimeoutError) it took too long
│   ├── LmmRejected                   it refuses the request: key, model name, parameters
│   ├── LmmPolicyRefusal              the provider's content policy forbids the request
│   └── BudgetExceeded                the next call might cost more than is allowed
└── StoreError                        the vector store refused or cannot be reached
    └── IdentityMismatch              the collection belongs to another encoder

A message says what was given, what is allowed and what to do next.
"""

from __future__ import annotations


class GeosearchError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(GeosearchError, ValueError):
    """A setting or an argument cannot work."""


class MissingDependency(ConfigError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed; "
            f"run: pip install 'geosearch[{extra}]'"
        )


class MissingWeights(ConfigError):
    """The weights of the chosen encoder are not on this machine and cannot be fetched."""


class IncompatibleHome(ConfigError):
    """The home directory was written by a version that this one cannot read."""


class HomeLocked(GeosearchError, TimeoutError):
    """Another process is using the embedded engines of this home."""


class InvalidInput(GeosearchError, ValueError):
    """Data from outside does not parse."""


class InvalidCoordinate(InvalidInput):
    """A latitude or longitude is not a place on Earth."""


class InvalidArea(InvalidInput):
    """A circle, box, polygon or GeoJSON document does not describe an area."""


class InvalidManifest(InvalidInput):
    """A manifest as a whole cannot be used (a missing column, not a table)."""


class UnreadableImage(InvalidInput):
    """A file is not an image that can be decoded safely."""


class UnknownPhoto(InvalidInput):
    """The collection holds no photo by an id."""


class LabelRefused(InvalidInput):
    """A photo keeps its label: the one it has counts more, or its file cannot be read."""


class BackupError(GeosearchError, ValueError):
    """A backup is none, is damaged, or has nowhere empty to go."""


class StorageFull(GeosearchError, OSError):
    """The disk has no room left; what was recorded before stays recorded."""


class BrokerError(GeosearchError):
    """The broker of the workers cannot be reached; what is recorded stays and is sent later."""


class CatalogueError(GeosearchError):
    """PostgreSQL refused a statement or cannot be reached."""


class ServerError(GeosearchError):
    """A GeoSearch server gave no answer that can be used."""


class ServerUnreachable(ServerError, ConnectionError):
    """Nothing answers at the address of a server, or the connection broke."""


class ServerTimeout(ServerError, TimeoutError):
    """A server took too long; what it was asked for may still happen there."""


class ServerBusy(ServerError):
    """A server asks to come back later, and did so until patience ended."""


class AccessDenied(ServerError, PermissionError):
    """A server wants another key: none was given, it is wrong, or it may not do this."""


class StoreError(GeosearchError):
    """The vector store refused an operation or cannot be reached."""


class IdentityMismatch(StoreError):
    """A collection of vectors belongs to another encoder."""


class LmmError(GeosearchError):
    """A large multimodal model gave no reply.

    Args:
        message: what happened, in one sentence.
        is_payment_unknown: whether the provider may have worked, and charged, all the same.
    """

    def __init__(self, message: str, *, is_payment_unknown: bool = False) -> None:
        super().__init__(message)
        self.is_payment_unknown = is_payment_unknown


class LmmUnavailable(LmmError):
    """The model is down, limits the rate, or the connection broke; trying again may help.

    Args:
        message: what happened.
        retry_after_s: seconds the provider asks to wait, None when it does not say.
        is_payment_unknown: as in `LmmError`.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        is_payment_unknown: bool = False,
    ) -> None:
        super().__init__(message, is_payment_unknown=is_payment_unknown)
        self.retry_after_s = retry_after_s


class LmmTimeout(LmmUnavailable, TimeoutError):
    """The model took too long."""


class LmmRejected(LmmError):
    """The model refuses the request as it is; the same request will be refused again.

    Args:
        message: what happened.
        status: the HTTP status, None when the request was refused before it was sent.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class LmmPolicyRefusal(LmmError):
    """The provider's content policy forbids the request."""


class BudgetExceeded(LmmError):
    """The next call might cost more than the run or the month may.

    Args:
        message: limit, spent and needed.
        is_final: False while running calls hold money back that they may not need.
    """

    def __init__(self, message: str, *, is_final: bool = True) -> None:
        super().__init__(message)
        self.is_final = is_final
