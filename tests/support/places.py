"""Where the sample photos of the tests were taken."""

CITIES = {
    "lund": (55.705, 13.193),
    "nairobi": (-1.286, 36.817),
    "suva": (-18.141, 178.442),
    "honolulu": (21.307, -157.858),
}
