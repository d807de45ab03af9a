"""STAC documents of a cube: a Collection, and one Item per period.

The ledger and the metadata of the store come in; JSON documents in a folder, or in the store, come out.
"""
