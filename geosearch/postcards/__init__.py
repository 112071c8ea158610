"""The demo's photos: scenes of real cities that the package draws itself, with camera tags.

They need no download and no licence (CC0), and the same seed always gives the same bytes.
"""

from geosearch.postcards.cities import CITIES, city_named
from geosearch.postcards.city import City
from geosearch.postcards.files import HeldOut, Postcards, write_postcards
from geosearch.postcards.light import Sun, sun_position
from geosearch.postcards.scene import draw
from geosearch.postcards.shots import Shot, plan_shot

__all__ = [
    "CITIES",
    "City",
    "HeldOut",
    "Postcards",
    "Shot",
    "Sun",
    "city_named",
    "draw",
    "plan_shot",
    "sun_position",
    "write_postcards",
]
