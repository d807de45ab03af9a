"""Export a cube to files of other formats: cloud-optimized GeoTIFF and netCDF.

A cube and a selection of periods, variables and area come in; files in a folder come out.
"""
