"""Filled cubes: copies of finished cubes whose gaps are filled in time.

A finished cube comes in; a second cube next to it comes out, with the layers `filled` and `fill_distance`.
"""
