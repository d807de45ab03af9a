"""Measurements: what a chunk costs here, and what it costs the usual way, on the same archive in one run."""
