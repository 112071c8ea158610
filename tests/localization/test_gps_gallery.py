"""The GPS gallery as services compose it: the catalogue's places, embedded once."""

import numpy as np

from geosearch.encoder import gallery
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.encoder.fusion import fuse
from geosearch.geo import unit_vectors
from geosearch.serving.opened import OpenIndex


class Located(ColorGridEmbedder):
    has_location_space = True
    encoded = 0

    def encode_locations(self, coordinates):
        Located.encoded += len(coordinates)
        points = unit_vectors([c.lat for c in coordinates], [c.lon for c in coordinates])
        width = self.dim // 3
        return fuse(location_aligned=np.pad(points, ((0, 0), (0, width - 3))).astype(np.float32))


def test_the_places_of_the_catalogue_are_in_the_gallery_once_each(
    geosearch, services, folder, monkeypatch
):
    monkeypatch.setattr(gallery, "reference_coordinates", lambda: np.array([[0.5, 0.5]]))
    assert services.index.gps_gallery is None  # this encoder has no location space
    geosearch.ingest(folder)

    def located():
        at_hand = services.index
        cells = services.catalogue.occupied_cells
        home = services.settings.home
        return OpenIndex(at_hand.record, Located(), at_hand.store, home=home, occupied_cells=cells)

    index = located()
    found = index.gps_gallery
    assert len(found) < 12 + 1  # photos of one cell share a place
    block = index.embedder.encode_locations([gallery.Coordinate(-18.141, 178.442)])[0]
    (hit,) = found.nearest(block[2 * len(block) // 3 :], 1)
    assert hit.coordinate.distance_km(gallery.Coordinate(-18.141, 178.442)) < 1.0
    before = Located.encoded
    assert located().gps_gallery.folder == found.folder
    assert Located.encoded == before
