"""Files on any filesystem: a place, conditional replacement, and errors that say what to do.

A URI with its options comes in; bytes, listings and errors of `ardcube.errors` go out.
"""
