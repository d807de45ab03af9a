"""Blocks of raster files as arrays: GeoTIFFs by their blocks, all else through GDAL.

A band asset comes in; its header, levels and decoded windows go out.
"""
