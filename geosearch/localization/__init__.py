"""From neighbours to a coordinate with a radius."""
