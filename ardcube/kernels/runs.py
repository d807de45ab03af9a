"""Runs of pixels between the nodes of the projection lattice (numba)."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit
from ardcube.kernels.layout import LANES


@jit
def any_of(wanted, start, stop):  # type: ignore[no-untyped-def]
    """Whether a part of a row has a pixel that is wanted."""
    found = False
    # Unsigned, or numba asks of each index whether it counts from the end, and takes pixels one by one.
    for j in range(np.uint64(start), np.uint64(stop)):
        found |= wanted[j]
    return found


@jit
def shares_between(step):  # type: ignore[no-untyped-def]
    """Places of pixels between two nodes, as a share of the distance; some more, since four are taken at once."""
    return np.arange(step + LANES) / step


@jit
def runs_between_nodes(cols, width, step):  # type: ignore[no-untyped-def]
    """Runs of the pixels of a row, from the grid's column `cols` on, that lie between the same two nodes: (run, 4).

    First pixel and the one after the last, the first one's place after the node, and that node's index on the grid.
    """
    first = cols // step
    runs = np.empty(((cols + width - 1) // step - first + 1, 4), np.int64)
    for n in range(len(runs)):
        node = first + n
        start = max(0, node * step - cols)
        runs[n, 0], runs[n, 1] = start, min(width, (node + 1) * step - cols)
        runs[n, 2], runs[n, 3] = cols + start - node * step, node
    return runs
