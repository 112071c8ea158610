"""GeoSearch side by side with what a user would pick instead: one run, one machine, one page."""
