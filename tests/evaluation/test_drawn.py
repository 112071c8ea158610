from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.errors import ConfigError
from geosearch.evaluation.drawn import DrawnPhotos, drawn_features, landmark_cities
from geosearch.postcards import city_named

CITIES = (city_named("Paris"), city_named("Tokyo"), city_named("Bergen"))


class _Encoder(ColorGridEmbedder):
    encoded = 0

    def image_features(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.encoded += len(pixels)
        return super().image_features(pixels)


def _texts(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def _draw(folder: Path, encoder: _Encoder, **options: int) -> DrawnPhotos:
    return drawn_features(
        encoder,
        _texts,
        identity="grid|1|none|none|none|none",
        cache=folder,
        lookup=lambda coordinates: [None] * len(coordinates),
        cities=CITIES,
        **{"views": 2} | options,
    )


def test_postcards_become_features_once_and_are_opened_afterwards(tmp_path: Path) -> None:
    encoder = _Encoder()
    first = _draw(tmp_path, encoder)
    assert encoder.encoded == 6
    assert first.features.place == ("Paris", "Paris", "Tokyo", "Tokyo", "Bergen", "Bergen")
    assert first.features.text_features is not None
    for row, shot in enumerate(first.shots):
        assert first.features.lat[row] == shot.coordinate.lat
    second = _draw(tmp_path, encoder)
    assert encoder.encoded == 6
    assert second.features.fingerprint() == first.features.fingerprint()
    _draw(tmp_path, encoder, seed=1)
    assert encoder.encoded == 12


def test_look_alikes_are_the_other_cities_of_the_landmark_in_view(tmp_path: Path) -> None:
    drawn = _draw(tmp_path, _Encoder(), views=4)
    standing = landmark_cities()
    for row, shot in enumerate(drawn.shots):
        others = drawn.look_alikes(row)
        if shot.landmark is None:
            assert others == ()
        else:
            assert len(others) == len(standing[shot.landmark]) - 1
            assert shot.city.center not in others
    assert any(drawn.look_alikes(row) for row in range(len(drawn.shots)))


def test_no_views_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 views of 3 cities"):
        _draw(tmp_path, _Encoder(), views=0)
