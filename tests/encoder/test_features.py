from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.encoder.drafts import drafted_folder
from geosearch.encoder.feature_cache import (
    FeatureCache,
    LabelledPhoto,
    compute_features,
    with_text,
)
from geosearch.encoder.features import WORDS, FeatureSet, caption_of
from geosearch.encoder.npz import read_npz
from geosearch.errors import ConfigError, InvalidInput, UnreadableImage
from geosearch.geo import Coordinate
from geosearch.records import Place

ENCODER = "tiny|1|relu|none|none|none"


def make_features(places: int = 8, views: int = 3, *, dim: int = 6) -> FeatureSet:
    rng = np.random.default_rng(0)
    n = places * views
    place = np.arange(n) // views
    words = dict.fromkeys(WORDS, ("",) * n)
    words["place"] = tuple(f"p{number}" for number in place)
    words["caption"] = tuple(f"a photo, taken in «{number}»" for number in place)
    return FeatureSet(
        ENCODER,
        rng.standard_normal((n, dim)).astype(np.float16),
        rng.standard_normal((n, 5)).astype(np.float16),
        np.linspace(-60.0, 60.0, places)[place],
        np.linspace(-170.0, 170.0, places)[place],
        **words,
    )


class CountingEncoder:
    """Mean colours of text files; counts what it encodes."""

    def __init__(self, *, fails_after: int = 10**9, value: float = 1.0) -> None:
        self.encoded: list[int] = []
        self._fails_after, self._value = fails_after, value

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        if data == b"broken":
            raise UnreadableImage("it is no image")
        return np.full((2, 2, 3), len(data), np.uint8)

    def image_features(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if sum(self.encoded) >= self._fails_after:
            raise KeyboardInterrupt
        self.encoded.append(len(pixels))
        return np.stack([self._value * p[0].astype(np.float32).ravel() for p in pixels])


def _photos(count: int) -> list[LabelledPhoto]:
    return [
        LabelledPhoto(f"{i}.jpg", lambda i=i: b"x" * (i + 1), Coordinate(i, 2 * i), f"caption {i}")
        for i in range(count)
    ]


def _compute(
    photos: Sequence[LabelledPhoto], encoder: CountingEncoder, cache: Path
) -> tuple[FeatureSet, list[tuple[str, str]]]:
    return compute_features(photos, encoder, identity=ENCODER, cache=cache, batch_size=2)


def test_captions_have_the_papers_form_and_the_photos_own_words() -> None:
    place = Place("SE", "Sweden", "Skåne", "Lund")
    assert caption_of(place) == "A street view photo taken in Lund, Skåne, Sweden"
    assert caption_of(Place("SG", "Singapore", None, "Singapore")) == (
        "A street view photo taken in Singapore"
    )
    assert caption_of(place, " The old\nbridge ").endswith("Lund, Skåne, Sweden. The old bridge")
    assert caption_of(None) == "A street view photo"


def test_what_is_saved_is_opened_again_memory_mapped_with_the_same_fingerprint(
    tmp_path: Path,
) -> None:
    features = make_features()
    features.save(tmp_path / "set")
    opened = FeatureSet.open(tmp_path / "set", encoder=ENCODER)
    assert isinstance(opened.image_features, np.memmap)
    assert opened.fingerprint() == features.fingerprint()
    assert opened.caption == features.caption
    np.testing.assert_array_equal(opened.image_features, features.image_features)


def test_the_fingerprint_changes_with_any_label_and_any_feature() -> None:
    features = make_features()
    lat = features.lat.copy()
    lat[3] += 1e-9
    image = features.image_features.copy()
    image[2, 1] += np.float16(0.1)
    others = [
        replace(features, lat=lat),
        replace(features, image_features=image),
        replace(features, author=("someone", *features.author[1:])),
        replace(features, encoder="other"),
    ]
    assert len({other.fingerprint() for other in [features, *others]}) == 5


def test_features_of_another_encoder_are_refused(tmp_path: Path) -> None:
    make_features().save(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"made by the encoder tiny.*GEOSEARCH_ENCODER"):
        FeatureSet.open(tmp_path / "set", encoder="other|1|relu|none|none|none")


@pytest.mark.parametrize("name", ["image_features.npy", "coordinates.npy", "text_features.npy"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    make_features().save(tmp_path / "set")
    path = tmp_path / "set" / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InvalidInput, match=rf"{name} is missing or truncated"):
        FeatureSet.open(tmp_path / "set")


def test_another_shape_than_recorded_is_refused(tmp_path: Path) -> None:
    make_features().save(tmp_path / "set")
    np.save(tmp_path / "set" / "image_features.npy", np.zeros((24, 7), np.float16))
    with pytest.raises(InvalidInput, match=r"shape \(24, 7\), and features.json says \(24, 6\)"):
        FeatureSet.open(tmp_path / "set")


def test_a_feature_that_is_not_a_number_is_refused_with_its_row(tmp_path: Path) -> None:
    features = make_features()
    features.image_features[5, 2] = np.nan
    with pytest.raises(InvalidInput, match="image_features of row 5 is not finite"):
        features.select(range(24))
    np.savez(
        tmp_path / "f.npz",
        image_features=features.image_features,
        lat=features.lat,
        lon=features.lon,
    )
    with pytest.raises(InvalidInput, match=r"f.npz: image_features of row 5 is not finite"):
        read_npz(tmp_path / "f.npz", encoder=ENCODER)


@pytest.mark.parametrize(("lat", "lon"), [(91.0, 0.0), (0.0, 181.0), (np.nan, 0.0)])
def test_a_coordinate_off_the_globe_is_refused_with_its_row(lat: float, lon: float) -> None:
    features = make_features()
    features.lat[7], features.lon[7] = lat, lon
    with pytest.raises(InvalidInput, match="of row 7 is"):
        features.select(range(24))


def test_a_folder_of_another_format_or_none_is_refused(tmp_path: Path) -> None:
    make_features().save(tmp_path / "set")
    manifest = json.loads((tmp_path / "set" / "features.json").read_text())
    (tmp_path / "set" / "features.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ConfigError, match="format 99"):
        FeatureSet.open(tmp_path / "set")
    (tmp_path / "set" / "features.json").write_text("{")
    with pytest.raises(InvalidInput, match="damaged"):
        FeatureSet.open(tmp_path / "set")
    with pytest.raises(ConfigError, match="holds no features"):
        FeatureSet.open(tmp_path / "nowhere")


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    def write() -> None:
        with drafted_folder(tmp_path / "set") as draft:
            (draft / "half").write_text("…")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_npz_gives_its_columns_and_a_place_to_photos_without_one(tmp_path: Path) -> None:
    features = make_features()
    path = tmp_path / "f.npz"
    columns = {"image_features": features.image_features, "lat": features.lat, "lon": features.lon}
    np.savez(path, **columns, dataset=np.array(["a", "b"] * 12))
    found = read_npz(path, encoder=ENCODER, dataset="b")
    assert len(found) == 12
    assert len(set(read_npz(path, encoder=ENCODER).place)) == 8
    with pytest.raises(ConfigError, match="it has: a, b"):
        read_npz(path, encoder=ENCODER, dataset="c")


def test_an_npz_that_is_not_one_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with pytest.raises(ConfigError, match="no such file"):
        read_npz(path, encoder=ENCODER)
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InvalidInput, match="no NPZ file, or truncated"):
        read_npz(path, encoder=ENCODER)
    with path.open("wb") as file:
        np.save(file, np.ones((2, 2)))
    with pytest.raises(InvalidInput, match="a single array"):
        read_npz(path, encoder=ENCODER)
    np.savez(path, image_features=np.ones((2, 2)), lat=np.zeros(2))
    with pytest.raises(InvalidInput, match="no column 'lon'"):
        read_npz(path, encoder=ENCODER)
    np.savez(path, image_features=np.ones((2, 2)), lat=np.zeros(2), lon=np.zeros(3))
    with pytest.raises(InvalidInput, match="lon has 3 entries for 2"):
        read_npz(path, encoder=ENCODER)
    np.savez(path, image_features=np.ones((0, 2)), lat=np.zeros(0), lon=np.zeros(0))
    with pytest.raises(InvalidInput, match="no photo"):
        read_npz(path, encoder=ENCODER)
    columns = {"image_features": np.ones((2, 2)), "lat": np.zeros(2), "lon": np.zeros(2)}
    np.savez(path, **columns, encoder=np.array("clip"))
    with pytest.raises(ConfigError, match="made by the encoder clip"):
        read_npz(path, encoder=ENCODER)


def test_features_are_computed_once_and_only_those_that_are_missing(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    first, _ = _compute(_photos(5), encoder, tmp_path)
    assert sum(encoder.encoded) == 5
    second, _ = _compute(_photos(8), encoder, tmp_path)
    assert sum(encoder.encoded) == 8
    np.testing.assert_array_equal(second.image_features[:5], first.image_features)
    np.testing.assert_array_equal(second.image_features[:, 0], np.arange(1, 9))


def test_an_interrupted_computation_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geosearch.encoder.feature_cache.SHARD", 4)
    with pytest.raises(KeyboardInterrupt):
        _compute(_photos(12), CountingEncoder(fails_after=8), tmp_path)
    again = CountingEncoder()
    features, _ = _compute(_photos(12), again, tmp_path)
    assert sum(again.encoded) == 4
    np.testing.assert_array_equal(features.image_features[:, 0], np.arange(1, 13))


def test_a_photo_whose_hash_is_known_is_not_even_read(tmp_path: Path) -> None:
    _compute(_photos(1), CountingEncoder(), tmp_path)

    def read() -> bytes:
        raise AssertionError

    known = replace(_photos(1)[0], read=read, sha256=hashlib.sha256(b"x").hexdigest())
    features, _ = _compute([known], CountingEncoder(), tmp_path)
    assert len(features) == 1


def test_photos_that_cannot_be_used_are_told_and_the_others_kept(tmp_path: Path) -> None:
    def gone() -> bytes:
        raise FileNotFoundError("no such file")

    photos = _photos(3)
    photos[0] = replace(photos[0], read=gone)
    photos[1] = replace(photos[1], read=lambda: b"broken")
    photos.append(replace(photos[2], uri="copy.jpg"))
    features, left_out = _compute(photos, CountingEncoder(), tmp_path)
    assert len(features) == 1
    assert left_out == [
        ("0.jpg", "no such file"),
        ("1.jpg", "it is no image"),
        ("copy.jpg", "the same bytes as 2.jpg"),
    ]
    with pytest.raises(ConfigError, match=r"none of 2 photos can be used; the first: 0.jpg"):
        _compute(photos[:2], CountingEncoder(), tmp_path)


def test_a_feature_too_large_to_keep_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a finite number"):
        _compute(_photos(3), CountingEncoder(value=1e6), tmp_path)
    assert list(tmp_path.rglob("*.npy")) == []


def test_a_damaged_shard_is_computed_again(tmp_path: Path) -> None:
    _compute(_photos(3), CountingEncoder(), tmp_path)
    shard = next(tmp_path.rglob("*.npy"))
    shard.write_bytes(shard.read_bytes()[:-10])
    encoder = CountingEncoder()
    features, _ = _compute(_photos(3), encoder, tmp_path)
    assert (len(features), sum(encoder.encoded)) == (3, 3)


def test_each_distinct_caption_is_encoded_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def text_features(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    features = replace(make_features(), text_features=None)
    found = with_text(features, text_features, cache=tmp_path)
    assert found.text_features is not None
    assert found.text_features.shape == (24, 2)
    assert sorted(asked) == sorted(set(features.caption))
    with_text(features, text_features, cache=tmp_path)
    assert len(asked) == 8


def test_caches_of_two_encoders_do_not_mix(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, encoder="one", kind="image")
    cache.add(["a" * 64], np.ones((1, 3)))
    assert "a" * 64 in FeatureCache(tmp_path, encoder="one", kind="image")
    assert "a" * 64 not in FeatureCache(tmp_path, encoder="two", kind="image")
