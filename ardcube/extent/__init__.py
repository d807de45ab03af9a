"""Area, grid, tiles and periods of a cube (pure, except for reading a geometry file).

A bounding box or geometry and months come in; a grid of tiles and half-open periods go out.
"""
