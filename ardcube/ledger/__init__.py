"""The state of every chunk of a cube, in files next to its store.

Chunk records, the scenes of each period and the last plan come in; resume, retry and status read them from here.
"""
