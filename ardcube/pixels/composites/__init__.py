"""Composites by name: reduce the clear observations of a period to one value per pixel (pure).

A stack of observations comes in; the arrays of one or more variables are filled.
"""
