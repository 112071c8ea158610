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
│   └── UnreadableImage
├── BackupError (ValueError)          a backup is damaged, or would overwrite something
├── StorageFull (OSError)             the disk has no room left; nothing recorded is lost
├── BrokerError                       Redis or RabbitMQ cannot be reached
├── CatalogueError                    PostgreSQL refused or cannot be reached
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


class BackupError(GeosearchError, ValueError):
    """A backup is none, is damaged, or has nowhere empty to go."""


class StorageFull(GeosearchError, OSError):
    """The disk has no room left; what was recorded before stays recorded."""


class BrokerError(GeosearchError):
    """The broker of the workers cannot be reached; what is recorded stays and is sent later."""


class CatalogueError(GeosearchError):
    """PostgreSQL refused a statement or cannot be reached."""


class StoreError(GeosearchError):
    """The vector store refused an operation or cannot be reached."""


class IdentityMismatch(StoreError):
    """A collection of vectors belongs to another encoder."""
