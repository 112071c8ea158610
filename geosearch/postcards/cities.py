"""The cities that postcards show, and what each of them looks like, as one table.

Places, time zones and the side of driving are real; the looks are a sketch. Nothing here draws.
"""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.errors import ConfigError
from geosearch.geo import Coordinate


@dataclass(frozen=True, slots=True)
class City:
    """One city: where it is and how a street of it is recognised.

    Args:
        name: English name; together with a seed and a view number it decides every pixel.
        country: ISO 3166-1 alpha-2 code.
        center: the middle of town; views lie within 3 km of it.
        zone: IANA time zone.
        climate: key of `plants.CLIMATES`; decides snow, seasons and haze.
        styles: names of `buildings.STYLES`, the first one commonest.
        walls: wall colours, as `#rrggbb`.
        roof: colour of pitched roofs.
        trees: names of `plants.TREES`, the first one commonest.
        ground: colour of verges and hills.
        terrain: name of `backdrop.RIDGES`.
        water: `sea`, `river` or nothing.
        script: name of `street.SCRIPTS`, how shop signs are written.
        ride: the vehicle that the town is known for and its colour.
        taxi: colour of taxis.
        landmarks: names of `landmarks.LANDMARKS`; several cities share one on purpose.
        lane: colour of the centre line.
        drives_left: whether traffic keeps to the left.
    """

    name: str
    country: str
    center: Coordinate
    zone: str
    climate: str
    styles: tuple[str, ...]
    walls: tuple[str, ...]
    roof: str
    trees: tuple[str, ...]
    ground: str
    terrain: str
    water: str
    script: str
    ride: tuple[str, str]
    taxi: str
    landmarks: tuple[str, ...]
    lane: str = "#f4f1e8"
    drives_left: bool = False


def _city(
    name: str,
    country: str,
    lat: float,
    lon: float,
    zone: str,
    climate: str,
    *,
    styles: str,
    walls: str,
    roof: str,
    trees: str,
    ground: str,
    terrain: str = "flat",
    water: str = "",
    script: str = "latin",
    ride: str = "bus #3b6ea5",
    taxi: str = "#e8e4da",
    landmarks: str = "",
    lane: str = "#f4f1e8",
    drives_left: bool = False,
) -> City:
    """A row of the table, with lists written as words between spaces."""
    kind, colour = ride.split()
    return City(
        name,
        country,
        Coordinate(lat, lon),
        zone,
        climate,
        tuple(styles.split()),
        tuple(walls.split()),
        roof,
        tuple(trees.split()),
        ground,
        terrain,
        water,
        script,
        (kind, colour),
        taxi,
        tuple(landmarks.split()),
        lane,
        drives_left,
    )


YELLOW = "#f0bf3a"
GRASS = "#6f9448"
MEADOW = "#8a9b55"
JUNGLE = "#4f8a3f"
SAND = "#dcbc86"
LATERITE = "#b5643c"
DRY = "#b99f68"

# fmt: off
CITIES: tuple[City, ...] = (
    _city("Amsterdam", "NL", 52.3702, 4.8952, "Europe/Amsterdam", "temperate",
          styles="canal canal terrace", walls="#7c3b2d #9c5140 #4f342c #c9b79c #6b2f2a", roof="#5b4038",
          trees="broadleaf willow", ground=GRASS, water="river", ride="tram #2d6fb5",
          landmarks="windmill"),
    _city("Athens", "GR", 37.9755, 23.7348, "Europe/Athens", "mediterranean",
          styles="slab tile", walls="#eee6d4 #e6d8ba #f3efe4 #d9c7a4", roof="#c98a5b",
          trees="olive cypress", ground=DRY, terrain="hills", script="greek",
          ride="bus #4d86c4", taxi=YELLOW, landmarks="temple"),
    _city("Bangkok", "TH", 13.7525, 100.4942, "Asia/Bangkok", "tropical",
          styles="shophouse slab glass", walls="#e5d3b3 #d8b6a0 #c6d0c4 #efe3cf", roof="#c7542f",
          trees="palm banyan", ground=JUNGLE, water="river", script="thai",
          ride="tuktuk #2f57a8", taxi="#e2569c", landmarks="stupa", lane=YELLOW, drives_left=True),
    _city("Barcelona", "ES", 41.3874, 2.1686, "Europe/Madrid", "mediterranean",
          styles="haussmann tile", walls="#dcb98a #cf9b6e #e7d3b0 #b98a66", roof="#b9683f",
          trees="plane palm", ground=MEADOW, terrain="hills", water="sea", ride="bus #c8353a",
          taxi="#2b2b2b", landmarks="arch spires"),
    _city("Bergen", "NO", 60.3929, 5.3241, "Europe/Oslo", "boreal",
          styles="wooden wooden timber", walls="#b23a2e #d98f2b #efe7d8 #8d2b26 #d4b04a", roof="#5d4a44",
          trees="conifer birch", ground=GRASS, terrain="mountains", water="sea",
          ride="bus #d98a2b"),
    _city("Buenos Aires", "AR", -34.6037, -58.3816, "America/Argentina/Buenos_Aires", "temperate",
          styles="haussmann slab tin", walls="#e9dcc4 #d7c3a1 #4b8fc0 #e0b340 #c95a44", roof="#6d6a70",
          trees="jacaranda plane", ground=GRASS, water="river", ride="bus #3d8c4f",
          taxi="#2b2b2b", landmarks="obelisk", lane=YELLOW),
    _city("Cairo", "EG", 30.0444, 31.2357, "Africa/Cairo", "desert",
          styles="slab moorish", walls="#cfae7f #b98f5f #d9c09a #a9825a", roof="#a37b4f",
          trees="palm", ground=SAND, terrain="dunes", water="river", script="arabic",
          ride="bus #c94b3c", taxi="#f2efe8", landmarks="pyramids minarets"),
    _city("Cape Town", "ZA", -33.9249, 18.4241, "Africa/Johannesburg", "mediterranean",
          styles="colonial cottage glass", walls="#3fa6a0 #e66f6a #f2c14e #f4efe6 #7ab648", roof="#7a7f86",
          trees="cypress palm", ground=MEADOW, terrain="table", water="sea", ride="bus #2f6db3",
          drives_left=True),
    _city("Cusco", "PE", -13.5319, -71.9675, "America/Lima", "highland",
          styles="colonial adobe", walls="#efe6d5 #d8b48a #c08a5a #e9dcc6", roof="#b65a35",
          trees="eucalyptus", ground="#9a9a52", terrain="mountains", ride="bus #d8452f",
          taxi="#f2efe8", landmarks="twin-church", lane=YELLOW),
    _city("Dakar", "SN", 14.6928, -17.4467, "Africa/Dakar", "savanna",
          styles="slab adobe", walls="#f0dfc2 #e8b98a #d9c8b2 #f2d06b", roof="#c98f5b",
          trees="baobab palm", ground=LATERITE, water="sea", ride="bus #f0bf3a", taxi=YELLOW,
          landmarks="minarets"),
    _city("Delhi", "IN", 28.6139, 77.2090, "Asia/Kolkata", "monsoon",
          styles="moorish shophouse", walls="#b4543d #c7765a #e2b58b #d8cbb0", roof="#a8452f",
          trees="banyan broadleaf", ground="#9b9450", script="devanagari", ride="tuktuk #3c8c4c",
          taxi="#f2efe8", landmarks="arch dome", lane=YELLOW, drives_left=True),
    _city("Dubai", "AE", 25.2048, 55.2708, "Asia/Dubai", "desert",
          styles="glass glass moorish", walls="#d8c7a8 #c9d3d8 #b9c6cf #e5d8bf", roof="#c9b48a",
          trees="palm", ground=SAND, terrain="dunes", water="sea", script="arabic",
          ride="bus #b8433a", taxi="#e6d3a7", landmarks="spike", lane=YELLOW),
    _city("Fira", "GR", 36.4166, 25.4324, "Europe/Athens", "mediterranean",
          styles="cube cube", walls="#faf8f3 #f6f3ea #fdfcf8", roof="#3d78c2",
          trees="olive bougainvillea", ground="#a9805f", terrain="cliffs", water="sea",
          script="greek", ride="bus #6aa2cf", landmarks="blue-dome"),
    _city("Hanoi", "VN", 21.0285, 105.8542, "Asia/Ho_Chi_Minh", "monsoon",
          styles="tube tube shophouse", walls="#e2b04a #d99a3d #8fb7a3 #e8d9b5 #c9755a", roof="#a5452f",
          trees="banyan bamboo", ground=JUNGLE, water="river", ride="bus #e0493a",
          taxi="#4aa35c", landmarks="pagoda"),
    _city("Havana", "CU", 23.1136, -82.3666, "America/Havana", "tropical",
          styles="colonial shophouse", walls="#e58fa0 #6fbfb5 #f0c75e #e9e0cd #7fa9d6", roof="#b9674a",
          trees="palm", ground=JUNGLE, water="sea", ride="oldcar #d9486e",
          taxi=YELLOW, landmarks="dome", lane=YELLOW),
    _city("Hong Kong", "HK", 22.3193, 114.1694, "Asia/Hong_Kong", "monsoon",
          styles="neon glass slab", walls="#c9b9a6 #a7b7b5 #d6c8b8 #b8a9a0", roof="#6d6a66",
          trees="banyan palm", ground=JUNGLE, terrain="humps", water="sea", script="han",
          ride="tram #1f7a5a", taxi="#cf3b33", landmarks="suspension-bridge ferris-wheel",
          drives_left=True),
    _city("Istanbul", "TR", 41.0082, 28.9784, "Europe/Istanbul", "mediterranean",
          styles="tile wooden slab", walls="#d9b08c #c98a70 #e6d2b5 #a8c0b8", roof="#b2573a",
          trees="plane cypress", ground=GRASS, terrain="hills", water="sea",
          ride="tram #b8322f", taxi=YELLOW, landmarks="minarets suspension-bridge"),
    _city("Kathmandu", "NP", 27.7172, 85.3240, "Asia/Kathmandu", "highland",
          styles="pagoda brownstone", walls="#a8523a #b8694a #c98a62 #8f4433", roof="#7d4a35",
          trees="broadleaf bamboo", ground=MEADOW, terrain="mountains", script="devanagari",
          ride="bus #3d7fb8", landmarks="stupa pagoda", drives_left=True),
    _city("Kyiv", "UA", 50.4501, 30.5234, "Europe/Kyiv", "continental",
          styles="haussmann slab", walls="#8fb8a8 #e8d59a #d9a98f #bcd0dc", roof="#5f7a6a",
          trees="chestnut birch", ground=GRASS, terrain="hills", water="river", script="cyrillic",
          ride="tram #d8b02f", landmarks="onion-domes"),
    _city("Kyoto", "JP", 35.0116, 135.7681, "Asia/Tokyo", "temperate",
          styles="machiya machiya pagoda", walls="#7a5237 #5f4230 #d8c9a8 #8d6a4a", roof="#4c525a",
          trees="cherry bamboo maple", ground=GRASS, terrain="hills", water="river", script="kana",
          ride="bus #5a9a5f", taxi="#22252a", landmarks="pagoda torii", drives_left=True),
    _city("Lisbon", "PT", 38.7223, -9.1393, "Europe/Lisbon", "mediterranean",
          styles="tile tile shophouse", walls="#f0d58a #e9b7a5 #a9c9dc #f4ece0 #e0a24f", roof="#c4562f",
          trees="jacaranda olive", ground=MEADOW, terrain="hills", water="sea",
          ride="tram #f0c12f", taxi="#3b3f3b", landmarks="suspension-bridge"),
    _city("London", "GB", 51.5074, -0.1278, "Europe/London", "temperate",
          styles="terrace haussmann glass", walls="#8a4b3a #a8664c #d9cdb8 #6f3f34 #e8e2d6", roof="#5a5e66",
          trees="plane broadleaf", ground=GRASS, water="river", ride="doubledecker #c8202b",
          taxi="#1d1e21", landmarks="clock-tower ferris-wheel", drives_left=True),
    _city("Marrakesh", "MA", 31.6295, -7.9811, "Africa/Casablanca", "desert",
          styles="moorish adobe", walls="#c9683f #d47f55 #b85a38 #dc9468", roof="#3f7d5c",
          trees="palm olive", ground="#c98a5c", terrain="mountains", script="arabic",
          ride="bus #c9a23a", taxi="#d8b98a", landmarks="minaret-square"),
    _city("McMurdo Station", "AQ", -77.8419, 166.6863, "Antarctica/McMurdo", "polar",
          styles="station", walls="#3f6d58 #8a3a30 #b9a98a #56718c", roof="#c9ced2",
          trees="none", ground="#4f4a48", terrain="volcano", water="sea", ride="crawler #d8452f",
          taxi="#d8452f"),
    _city("Mexico City", "MX", 19.4326, -99.1332, "America/Mexico_City", "highland",
          styles="colonial slab tin", walls="#d9486e #e8a33d #4a90b8 #e9d9bd #b8443a", roof="#a85a3f",
          trees="jacaranda cactus", ground=DRY, terrain="volcano", ride="bus #c8353a",
          taxi="#e56f9b", landmarks="arch twin-church", lane=YELLOW),
    _city("Nairobi", "KE", -1.2921, 36.8219, "Africa/Nairobi", "savanna",
          styles="slab cottage glass", walls="#e9dfc9 #c9d6c0 #d8a878 #e6e0d4", roof="#b85038",
          trees="acacia jacaranda", ground=LATERITE, terrain="hills", ride="bus #7a3fa0",
          landmarks="disc-tower", lane=YELLOW, drives_left=True),
    _city("New York", "US", 40.7128, -74.0060, "America/New_York", "continental",
          styles="brownstone glass brownstone", walls="#7a4a3a #8f5f4a #a86f55 #c4b5a0", roof="#5a5048",
          trees="broadleaf plane", ground=GRASS, water="river", ride="bus #4b86c8", taxi=YELLOW,
          landmarks="setback-tower suspension-bridge", lane=YELLOW),
    _city("Paris", "FR", 48.8566, 2.3522, "Europe/Paris", "temperate",
          styles="haussmann haussmann", walls="#e6dac2 #dccdb0 #eee5d3 #d3c3a4", roof="#6d7885",
          trees="plane chestnut", ground=GRASS, water="river", ride="bus #58a58c",
          taxi="#2f3136", landmarks="lattice-tower arch"),
    _city("Prague", "CZ", 50.0755, 14.4378, "Europe/Prague", "continental",
          styles="tile haussmann tile", walls="#f0d9a0 #e8b88f #d9e0b8 #f3e9d8 #e6c4b0", roof="#c4552f",
          trees="broadleaf chestnut", ground=GRASS, terrain="hills", water="river",
          ride="tram #c8302b", landmarks="clock-tower spires"),
    _city("Reykjavik", "IS", 64.1466, -21.9426, "Atlantic/Reykjavik", "boreal",
          styles="tin tin wooden", walls="#3f78a8 #b8382f #f0ead8 #4f8f6a #e0b23f", roof="#b8433a",
          trees="birch", ground="#7f9152", terrain="mountains", water="sea", ride="bus #f0c12f",
          landmarks="stepped-church"),
    _city("Rio de Janeiro", "BR", -22.9068, -43.1729, "America/Sao_Paulo", "tropical",
          styles="slab favela", walls="#e9e2d4 #d98f5a #c9d8dc #e6c05a #c96f4f", roof="#b8643f",
          trees="palm banyan", ground=JUNGLE, terrain="humps", water="sea", ride="bus #3a8fc0",
          taxi=YELLOW, landmarks="statue", lane=YELLOW),
    _city("Rome", "IT", 41.9028, 12.4964, "Europe/Rome", "mediterranean",
          styles="tile tile", walls="#d98f5a #c9754a #e6b57a #d8a070 #edcf9f", roof="#b5603a",
          trees="umbrella-pine cypress", ground=MEADOW, terrain="hills", water="river",
          ride="bus #c83a3a", taxi="#f2efe8", landmarks="dome colosseum"),
    _city("Samarkand", "UZ", 39.6270, 66.9750, "Asia/Samarkand", "steppe",
          styles="iwan moorish", walls="#d9bb88 #cfae78 #e3c99a", roof="#2f8fb0",
          trees="poplar mulberry", ground=DRY, terrain="mountains", script="cyrillic",
          ride="bus #4a9a5a", landmarks="blue-dome minarets"),
    _city("San Francisco", "US", 37.7749, -122.4194, "America/Los_Angeles", "mediterranean",
          styles="victorian victorian glass", walls="#a9c6d6 #e6c9b0 #c9b5d3 #f0e3b8 #b3d0b0", roof="#6f6a72",
          trees="cypress palm", ground=MEADOW, terrain="hills", water="sea", ride="cablecar #a83a2f",
          taxi=YELLOW, landmarks="suspension-bridge", lane=YELLOW),
    _city("Santa Fe", "US", 35.6870, -105.9378, "America/Denver", "steppe",
          styles="adobe adobe", walls="#c58a5f #b87a52 #d09c72 #bf8660", roof="#8f5a3c",
          trees="cactus poplar", ground="#c79a68", terrain="mesa", ride="pickup #4a7f8c",
          taxi=YELLOW, lane=YELLOW),
    _city("Seoul", "KR", 37.5665, 126.9780, "Asia/Seoul", "continental",
          styles="neon slab glass", walls="#d8d2c8 #b9b5b0 #c9bfae #e6dfd3", roof="#4a5560",
          trees="ginkgo conifer", ground=GRASS, terrain="mountains", water="river", script="hangul",
          ride="bus #2f62b8", taxi="#e89035", landmarks="disc-tower palace-gate", lane=YELLOW),
    _city("Singapore", "SG", 1.2903, 103.8520, "Asia/Singapore", "tropical",
          styles="shophouse glass glass", walls="#f2b8a0 #9fd0c4 #f3dd8f #c3b1dc #f2efe6", roof="#c4613f",
          trees="palm banyan", ground=JUNGLE, water="sea", ride="doubledecker #5a9a3f",
          taxi="#3a70c0", landmarks="ferris-wheel", drives_left=True),
    _city("Suva", "FJ", -18.1416, 178.4419, "Pacific/Fiji", "tropical",
          styles="cottage colonial", walls="#f2ece0 #9fd3d8 #f3cfa0 #b8dcb0", roof="#4f8f6f",
          trees="palm banyan", ground=JUNGLE, terrain="humps", water="sea", ride="bus #3aa0a8",
          taxi="#f2efe8", drives_left=True),
    _city("Sydney", "AU", -33.8688, 151.2093, "Australia/Sydney", "mediterranean",
          styles="terrace glass cottage", walls="#d9c4a4 #b9785a #e6ded0 #c9a584", roof="#a8553f",
          trees="eucalyptus jacaranda", ground=MEADOW, water="sea", ride="bus #5ab0d8",
          taxi="#f2efe8", landmarks="sails arch-bridge", drives_left=True),
    _city("Tokyo", "JP", 35.6762, 139.6503, "Asia/Tokyo", "temperate",
          styles="neon neon glass", walls="#d8d8d6 #c4c9cc #b8afa8 #e9e6df", roof="#4c525a",
          trees="cherry ginkgo", ground=GRASS, terrain="volcano", water="river", script="kana",
          ride="train #86b83a", taxi="#2f7a4a", landmarks="lattice-tower torii", drives_left=True),
    _city("Toronto", "CA", 43.6532, -79.3832, "America/Toronto", "continental",
          styles="glass victorian slab", walls="#8f4f3d #b8765a #c9c4bc #a35a45", roof="#55565c",
          trees="maple conifer", ground=GRASS, water="sea", ride="tram #c8202b", taxi="#e8743a",
          landmarks="disc-tower", lane=YELLOW),
    _city("Valparaíso", "CL", -33.0472, -71.6127, "America/Santiago", "mediterranean",
          styles="tin tin cottage", walls="#d9633f #4fa0a8 #f0b83a #8f6fb0 #6aa84f #e6e0d0", roof="#8a8f94",
          trees="palm cypress", ground=DRY, terrain="hills", water="sea", ride="bus #3f8f5f",
          taxi="#2b2b2b", lane=YELLOW),
    _city("Vienna", "AT", 48.2082, 16.3738, "Europe/Vienna", "continental",
          styles="haussmann haussmann tile", walls="#f0dfa8 #f3ead6 #e6cf98 #efe6dc", roof="#7a8a78",
          trees="chestnut broadleaf", ground=GRASS, terrain="hills", water="river",
          ride="tram #c8252b", landmarks="ferris-wheel spires"),
)
# fmt: on


def city_named(name: str) -> City:
    """The city of that English name.

    Raises:
        ConfigError: there are no postcards of it.
    """
    for city in CITIES:
        if city.name == name:
            return city
    known = ", ".join(city.name for city in CITIES)
    raise ConfigError(f"no postcards of {name[:80]!r}; choose from: {known}")
