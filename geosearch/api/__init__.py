"""The HTTP door: an API under /v1 and the page that uses it."""

from geosearch.api.app import create_app

__all__ = ["create_app"]
