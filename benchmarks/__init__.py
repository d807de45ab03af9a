"""Benchmarks of ardcube and of a baseline on the same archive."""
