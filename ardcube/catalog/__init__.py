"""Searches of STAC APIs and local catalogues, and their items as scenes.

A catalogue, an area and a period come in; scenes with footprints, band assets and offsets go out.
"""
