"""Collections as data: TOML definitions of bands, encodings, classes and access, and their recognition.

In: TOML text. Out: `Definition` values, and for each STAC item the one definition that describes it.
"""
