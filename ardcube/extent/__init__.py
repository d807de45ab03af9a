"""Where and when: area, grid, tiles and periods of a cube (pure, apart from reading a geometry file).

A bounding box or geometry and months come in; a grid of tiles and half-open periods go out.
"""
