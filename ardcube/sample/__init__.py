"""A small synthetic Sentinel-2 archive with STAC items, for trying the program offline."""

from ardcube.sample.archive import SampleArchive, write_archive

__all__ = ["SampleArchive", "write_archive"]
