"""Benchmarks: the cost of a chunk with ardcube and with a baseline, from the same archive in one run."""
