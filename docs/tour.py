"""A tour of GeoSearch in Python; each `# %%` is a cell for an editor that knows notebooks.

    python docs/tour.py                            # engines in this process, in a folder of its own
    python docs/tour.py http://127.0.0.1:8000      # by a server; an empty one, for it adds photos

It draws its own photos (postcards of real cities) and needs no network.
"""

# %% Photos to try things with: 43 cities, some of their pictures kept apart to be located later.
import sys
import tempfile
from pathlib import Path

from geosearch import GeoSearch
from geosearch.errors import MissingDependency
from geosearch.postcards import write_postcards

scratch = Path(tempfile.mkdtemp(prefix="geosearch-tour-"))
postcards = write_postcards(scratch / "postcards", views_per_city=4, size=(384, 256))
unknown = [photo.path for photo in postcards.held_out][:3]

# %% A collection: in this process, or behind `geosearch serve` by its address. The rest is alike.
if len(sys.argv) > 1:
    geo = GeoSearch(url=sys.argv[1])
else:
    geo = GeoSearch(home=scratch / "home", encoder="lite")

# %% Take photos in. Again is free: nothing is encoded twice.
labelled = scratch / "postcards" / "labelled"  # with coordinates in their EXIF
report = geo.ingest(labelled, dataset="postcards")
again = geo.ingest(labelled, dataset="postcards")
print(f"{report.indexed} photos taken in, {again.duplicates} were there the second time")

# %% Search by look, anywhere and around a place.
found = geo.search(image=unknown[0], k=5)
for hit in found:
    print(f"{hit.score:.3f}  {hit.photo.place}")
around_lisbon = geo.search(image=unknown[0], near=(38.72, -9.14), radius_km=300)
print(f"{len(around_lisbon)} of {around_lisbon.matched} photos around Lisbon")

# %% Search without a photo: newest first, under any mix of filters.
summer = geo.search(country="JP", since="2022-01-01", until="2023-12-31", k=5)
print(f"{summer.matched} photos of Japan in two years")

# %% Locate photos that nobody labelled: an answer with radius, alternatives, evidence, or a reason.
located = list(geo.locate(unknown, no_lmm=True))
for answer in located:
    if answer.best is None:
        print(f"{Path(answer.image).name}: no answer, {answer.reason}")
    else:
        best = answer.best
        print(f"{Path(answer.image).name}: {best.place}; {len(best.evidence)} photos speak for it")

# %% Take answers elsewhere: GeoJSON, a map for notebooks (`located[0]` shows it), a data frame.
print(len(located[0].to_geojson()["features"]), "features in the GeoJSON of the first answer")
(scratch / "where.html").write_text(located[0]._repr_html_(), encoding="utf-8")
try:
    print(found.to_dataframe().head())
except MissingDependency:
    print("for data frames: pip install 'geosearch[pandas]'")

# %% How good is it? Measured against photos whose place is known, with an interval.
measured = geo.evaluate(postcards.manifest, resamples=200)
errors_km = sorted(one.error_km for one in measured.methods[0].outcomes)
print(f"half of {measured.asked} answers are within {errors_km[len(errors_km) // 2]:.1f} km")

# %% Say where a photo was taken, and take one out again.
some = next(geo.photos(state="indexed"))
told = geo.relabel(some.photo.id, (59.91, 10.75))
print(f"{told.photo.place} now, by a person's word ({told.label_source})")
geo.delete(some.photo.id)

# %% Everything as a file.
print(geo.export(scratch / "photos.csv"), "photos written to", scratch / "photos.csv")
geo.close()
