"""Requests to a GeoSearch server: keys, patience, and its problems as errors of ours."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import httpx

from geosearch import __version__, errors
from geosearch.closing import Closing
from geosearch.errors import (
    AccessDenied,
    ConfigError,
    GeosearchError,
    InvalidInput,
    ServerBusy,
    ServerError,
    ServerTimeout,
    ServerUnreachable,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

Files: TypeAlias = Sequence[tuple[str, tuple[str, bytes]]]

PATIENCE_S = 120.0
"""How long a server that says "come back later" is asked again."""

LONGEST_PAUSE_S = 30.0

TRIES = 3
"""How often a request that may be repeated is made when its connection breaks."""

RAISED: Final[Mapping[str, type[GeosearchError]]] = {
    kind.__name__: kind
    for kind in (
        errors.ConfigError,
        errors.InvalidInput,
        errors.InvalidCoordinate,
        errors.InvalidArea,
        errors.InvalidManifest,
        errors.UnreadableImage,
        errors.UnknownPhoto,
        errors.LabelRefused,
        errors.StorageFull,
    )
}
"""Kinds that a server may name, and that are raised here as they would be without it."""


class Wire(Closing):
    """One server; safe for threads.

    Args:
        url: `http://HOST:PORT` or `https://…`, with a path where a proxy puts one.
        api_key: sent as a bearer token; None sends none.
        timeout_s: the longest wait for an answer.
        sleep: waits; tests put their own here.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{url!r} is no address of a server; give one as http://127.0.0.1:8000"
            )
        self.url, self._sleep = url.rstrip("/"), sleep
        self._is_compared = False
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        try:
            self._client = httpx.Client(
                base_url=self.url, headers=headers, timeout=httpx.Timeout(timeout_s, connect=10.0)
            )
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigError(f"{url!r} is no address of a server: {error}") from error

    def close(self) -> None:
        """Close the connections; harmless when called twice."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        document: object = None,
        form: Mapping[str, Any] | None = None,
        files: Files | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Any:
        """The parsed answer to a request; None where the server has nothing to say.

        Args:
            method: `GET`, `POST`, `PATCH` or `DELETE`.
            path: below the address.
            params: of the query; None is left out.
            document: sent as JSON.
            form: fields of a form.
            files: of a form: field, then name and bytes.
            headers: more of them.
            repeatable: whether doing it twice does no harm, so that a broken connection is tried
                again.

        Raises:
            ServerUnreachable, ServerTimeout, ServerBusy, AccessDenied, ServerError: no answer.
            GeosearchError: what the server says is wrong with the request, as it would be raised
                without one.
        """
        request = {
            "params": {k: v for k, v in (params or {}).items() if v is not None},
            "json": document,
            "data": None if form is None else {k: v for k, v in form.items() if v is not None},
            "files": files,
            "headers": {"Accept": "application/json", **(headers or {})},
        }
        waited_s, tried = 0.0, 0
        while True:
            tried += 1
            try:
                response = self._client.request(method, path, **request)  # type: ignore[arg-type]
            except httpx.TimeoutException as error:
                raise ServerTimeout(
                    f"{self.url} did not answer in time; try again, or give a longer timeout_s"
                ) from error
            except httpx.TransportError as error:
                if repeatable and tried < TRIES:
                    self._sleep(float(tried))
                    continue
                raise ServerUnreachable(
                    f"cannot reach {self.url}: {error}; is `geosearch serve` running there?"
                ) from error
            self._compare_versions(response)
            if response.status_code not in (429, 503) or waited_s >= PATIENCE_S:
                return self._answer(response)
            pause_s = _pause_s(response)
            waited_s += pause_s
            self._sleep(pause_s)

    def read(self, reader: Callable[[Any], T], answer: Any) -> T:
        """What an answer stands for.

        Raises:
            ServerError: the reader does not know its form.
        """
        try:
            return reader(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServerError(
                f"{self.url} answers in a form that this client does not know "
                f"({type(error).__name__}: {error}); it must be GeoSearch of version {__version__}"
            ) from error

    def _compare_versions(self, response: httpx.Response) -> None:
        """Warn once of a server of another minor version; one that names none is not judged."""
        theirs = response.headers.get("GeoSearch-Version", "")
        if self._is_compared or not theirs:
            return
        self._is_compared = True
        if theirs.split(".")[:2] != __version__.split(".")[:2]:
            logger.warning(
                "%s is GeoSearch %.40s and this client %s; bring both to the same minor version, "
                "or an answer may be one that the other does not know",
                self.url, theirs, __version__,
            )  # fmt: skip

    def _answer(self, response: httpx.Response) -> Any:
        if response.is_success:
            if not response.content:
                return None
            try:
                return response.json()
            except ValueError as error:
                raise ServerError(
                    f"{response.url} answered with something else than JSON; is it GeoSearch?"
                ) from error
        raise self._error(response)

    def _error(self, response: httpx.Response) -> GeosearchError:
        try:
            problem = response.json()
            detail, kind = str(problem["detail"]), RAISED.get(str(problem.get("error")))
        except (ValueError, KeyError, TypeError, AttributeError):
            detail, kind = response.reason_phrase, None
        status = response.status_code
        if status in (401, 403):
            return AccessDenied(f"{self.url}: {detail}; give api_key, or set GEOSEARCH_API_KEY")
        if kind is not None:
            return kind(detail)
        if status in (429, 503):
            return ServerBusy(f"{self.url}: {detail}; try again later")
        if status in (413, 422):
            return InvalidInput(detail)
        return ServerError(f"{self.url} answered {status}: {detail}")


def _pause_s(response: httpx.Response) -> float:
    """How long the server asks to wait; a second where it says nothing that can be read."""
    try:
        asked_s = float(response.headers.get("Retry-After", "1"))
    except ValueError:
        asked_s = 1.0
    return min(max(asked_s, 0.1), LONGEST_PAUSE_S)


def as_json(value: object) -> str:
    """A value for a field of a form."""
    return json.dumps(value, allow_nan=False)
