"""GeoSearch: find photos by look and place, and find the place of a photo."""
