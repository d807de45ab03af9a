"""Files on any fsspec filesystem: locations, conditional replacement, and errors with advice.

A URI with storage options comes in; bytes, listings and errors of `ardcube.errors` go out.
"""
