"""Search STAC APIs and local catalogues, and parse their items into scenes.

A catalogue, an area and a period come in; scenes with footprints, band assets and offsets go out.
"""
