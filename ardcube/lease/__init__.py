"""One writer per cube.

A run acquires the lease of a ledger and renews it; a worker's fence refuses to write once another run holds it.
"""
