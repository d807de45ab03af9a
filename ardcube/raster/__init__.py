"""Raster files as arrays: tiled GeoTIFFs block by block, all other files through GDAL.

The asset of a band comes in. Its header, its overview levels and decoded windows of pixels go out.
"""
