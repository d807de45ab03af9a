"""The state of every chunk of a cube, in files next to its store.

Chunk records, manifests of scenes and the last plan are written and read here; resume and status rest on them.
"""
