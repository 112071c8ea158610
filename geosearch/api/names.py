"""Names of uploaded files, as far as they can be believed."""

from __future__ import annotations

import re

from geosearch.ingest.sources import file_name

MOST_BYTES = 160
"""Of a name in UTF-8; file systems allow 255, and drafts have longer names than files."""

_MOST_SUFFIX_BYTES = 24


def safe_name(name: str | None) -> str:
    """A file name with nothing in it that a file system, a shell or a terminal could take amiss.

    Letters of all scripts, digits, dots, dashes and spaces stay; no folder, no leading dot.
    """
    cleaned = re.sub(r"[^\w.\- ]", "_", file_name((name or "").replace("\\", "/"))).strip(". ")
    stem, dot, suffix = cleaned.rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    ending = _cut(dot + suffix, _MOST_SUFFIX_BYTES)
    return f"{_cut(stem, MOST_BYTES - len(ending.encode())) or 'photo'}{ending}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")
