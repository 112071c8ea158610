"""What a worker does on its device, with fake ones: none has been tried on a real card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.cluster import Cluster, assert_in_order

from geosearch.client import photo_sources
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.errors import ConfigError
from geosearch.services import Services
from geosearch.settings import load_settings
from workers.lifecycle import Runtime
from workers.producer import Producer

PHOTOS = 40


class SmallCard(ColorGridEmbedder):
    """Has memory for five photos at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if len(pixels) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.sizes.append(len(pixels))
        return super().encode(pixels)


@pytest.mark.parametrize("batch_size", ["32", None])
def test_a_worker_whose_card_is_full_goes_on_with_smaller_batches_and_fails_no_photo(
    cluster: Cluster, draw: Callable[[Path, int], None], batch_size: str | None
) -> None:
    draw(cluster.folder, PHOTOS)
    if batch_size is None:  # then it measures what fits before it begins
        del cluster.environment["GEOSEARCH_BATCH_SIZE"]
    else:
        cluster.environment["GEOSEARCH_BATCH_SIZE"] = batch_size
    services, card = cluster.services(), SmallCard()
    runtime = Runtime(
        services.settings,
        owner="worker",
        load_embedder=lambda _: card,  # type: ignore[arg-type,return-value]
    )
    producer = Producer(services, runtime.broker)
    producer.send(photo_sources(cluster.folder), inputs={})
    card.sizes.clear()
    runtime.taking_in.do(range(1, PHOTOS + 1))
    runtime.close()
    assert_in_order(services, photos=PHOTOS)
    assert sum(card.sizes) == PHOTOS
    assert max(card.sizes) in (4, 5)


def test_a_worker_without_its_card_works_on_the_cpu_only_if_it_may(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = load_settings(
        database_url=database_url, home=tmp_path, encoder="lite", device="cuda:63", dtype="float32"
    )
    with Services(asked) as services, pytest.raises(ConfigError, match="cuda:63"):
        services.embedder  # noqa: B018  # opening it is what fails
    with Services(asked.model_copy(update={"cpu_fallback": True})) as services:
        assert str(services.embedder.device) == "cpu"
    assert "working on the CPU" in caplog.text
