"""The Zarr v3 store of a cube: its schema, its layout, and how chunks are written to it.

A plan's grid, periods and bands come in; arrays, attributes and pixels in the store come out.
"""
