"""Positions written into photos: only metadata changes, every byte of the picture stays.

Each format has a module that takes the file apart and puts it together around one EXIF block.
"""

from geosearch.geotags.files import WrittenPhoto, write_copy, write_in_place
from geosearch.geotags.writing import Position, write_position

__all__ = ["Position", "WrittenPhoto", "write_copy", "write_in_place", "write_position"]
