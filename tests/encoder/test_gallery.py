"""The GPS gallery: embedded once, kept whole, searched by the location block."""

import numpy as np
import pytest

from geosearch.encoder import gallery
from geosearch.encoder.fusion import fuse
from geosearch.encoder.gallery import GpsGallery, cell_centers, open_gallery
from geosearch.encoder.identity import EncoderIdentity
from geosearch.errors import InvalidInput
from geosearch.geo import Coordinate, unit_vectors

BLOCK = 40


class SphereEncoder:
    """Places coordinates by waves over their unit vectors, padded with zeros to the block."""

    def __init__(self, version="1"):
        self.identity = EncoderIdentity("sphere", version, "none", "none", "heads", "waves")
        self.encoded = 0
        self._waves = np.random.default_rng(0).normal(scale=2.0, size=(3, 16))

    def encode_locations(self, coordinates):
        self.encoded += len(coordinates)
        points = unit_vectors([c.lat for c in coordinates], [c.lon for c in coordinates])
        angles = points @ self._waves
        features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        return fuse(location_aligned=np.pad(features, ((0, 0), (0, BLOCK - 32))))


def places(count, seed=0):
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.stack([lat, rng.uniform(-180, 180, count)], axis=1)


def block_of(encoder, lat, lon):
    return encoder.encode_locations([Coordinate(lat, lon)])[0][2 * BLOCK :]


def test_the_nearest_coordinates_are_those_of_an_exact_comparison_best_first(tmp_path):
    encoder, coordinates = SphereEncoder(), places(9000)
    found = open_gallery(tmp_path, encoder, coordinates)
    blocks = encoder.encode_locations([Coordinate(*pair) for pair in coordinates])[:, 2 * BLOCK :]
    unit = blocks / np.linalg.norm(blocks, axis=1, keepdims=True)
    for lat, lon in [(55.7, 13.2), (-89.9, 10.0), (0.0, 180.0)]:
        query = block_of(encoder, lat, lon)
        exact = np.sort(unit @ (query / np.linalg.norm(query)))[::-1][:5]
        hits = found.nearest(query, 5)
        assert [hit.score for hit in hits] == pytest.approx(exact.tolist(), abs=2e-3)
        assert hits[0].coordinate.distance_km(Coordinate(lat, lon)) < 700.0


def test_a_second_opening_embeds_nothing_and_answers_the_same(tmp_path):
    encoder = SphereEncoder()
    query = block_of(encoder, 10.0, 20.0)
    first = open_gallery(tmp_path, encoder, places(300)).nearest(query, 7)
    again = SphereEncoder()
    assert open_gallery(tmp_path, again, places(300)).nearest(query, 7) == first
    assert again.encoded == 0


def test_new_coordinates_cost_only_themselves_and_the_old_gallery_goes(tmp_path):
    encoder, coordinates = SphereEncoder(), places(300)
    open_gallery(tmp_path, encoder, coordinates[:280])
    grown = open_gallery(tmp_path, encoder, coordinates)
    assert encoder.encoded == 300
    assert len(grown) == 300
    assert [path.name for path in grown.folder.parent.iterdir()] == [grown.folder.name]
    whole = open_gallery(tmp_path / "other", SphereEncoder(), coordinates)
    assert np.array_equal(grown._features, whole._features)


def test_each_encoder_has_a_gallery_of_its_own(tmp_path):
    first, second = SphereEncoder("1"), SphereEncoder("2")
    one = open_gallery(tmp_path, first, places(50))
    two = open_gallery(tmp_path, second, places(50))
    assert one.folder != two.folder
    assert second.encoded == 50
    assert open_gallery(tmp_path, first, places(50)).folder == one.folder


def test_a_changed_file_is_noticed_and_embedded_again(tmp_path):
    encoder = SphereEncoder()
    found = open_gallery(tmp_path, encoder, places(50))
    path = found.folder / "features.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(bytes(data))
    mended = open_gallery(tmp_path, encoder, places(50))
    assert encoder.encoded == 100
    assert len(mended.nearest(block_of(encoder, 1.0, 1.0), 50)) == 50


def test_an_interrupted_making_leaves_no_gallery_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "BATCH", 20)

    class Failing(SphereEncoder):
        def encode_locations(self, coordinates):
            if self.encoded >= 40:
                raise RuntimeError("power cut")
            return super().encode_locations(coordinates)

    with pytest.raises(RuntimeError):
        open_gallery(tmp_path, Failing(), places(50))
    assert not list(tmp_path.rglob("gallery.json"))


def test_the_progress_counts_what_is_embedded(tmp_path):
    told = []
    open_gallery(
        tmp_path,
        SphereEncoder(),
        places(10),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(10, 10)]


@pytest.mark.parametrize(
    "block", [np.zeros(BLOCK), np.full(BLOCK, np.nan), np.ones(3), np.ones((1, BLOCK))]
)
def test_a_block_that_points_nowhere_is_refused(tmp_path, block):
    found = open_gallery(tmp_path, SphereEncoder(), places(5))
    assert isinstance(found, GpsGallery)
    with pytest.raises(InvalidInput, match="location block"):
        found.nearest(block.astype(np.float32), 3)


def test_no_coordinate_makes_no_gallery(tmp_path):
    with pytest.raises(InvalidInput, match="one coordinate"):
        open_gallery(tmp_path, SphereEncoder(), np.empty((0, 2)))


def test_cells_have_their_centre_within_a_kilometre_and_stay_on_earth():
    centers = cell_centers([(5570, 1319), (-9000, -18000), (9000, 18000)])
    assert centers[0].tolist() == [55.705, 13.195]
    assert np.abs(centers).max(axis=0).tolist() <= [90.0, 180.0]
    assert cell_centers([]).shape == (0, 2)
