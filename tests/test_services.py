"""What is opened and loaded, and when."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geosearch import services as services_module
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.services import Services
from geosearch.settings import Settings


def _services(tmp_path: Path, at_hand: object, **options: Any) -> Services:
    services = Services(Settings(home=tmp_path), **options)
    exchange = SimpleNamespace(at_hand=at_hand, borrowed=lambda is_current: nullcontext())
    services.__dict__["_exchange"] = exchange
    return services


def test_torch_is_imported_beside_what_opens_the_first_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()
    monkeypatch.setattr(services_module, "_import_torch", started.set)
    for at_hand, options in (
        (object(), {}),
        (None, {"load_embedder": lambda _: ColorGridEmbedder()}),
    ):
        _services(tmp_path, at_hand, **options).borrowed_index()
        assert not started.wait(0.1)
    _services(tmp_path, None).borrowed_index()
    assert started.wait(10.0)


def test_listing_photos_loads_no_model(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom geosearch import GeoSearch\n"
        f"with GeoSearch(home={str(tmp_path / 'home')!r}, encoder='lite') as collection:\n"
        "    collection.search(country='FR')\n"
        "print(sorted({'torch', 'litellm', 'qdrant_edge'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "[]"
