"""Write a small synthetic Sentinel-2 archive with STAC items, to try ardcube offline.

A folder and a seed come in; GeoTIFF files, STAC items and a collection document go out.
"""

from ardcube.sample.archive import SampleArchive, write_archive

__all__ = ["SampleArchive", "write_archive"]
