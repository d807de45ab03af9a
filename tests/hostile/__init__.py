"""Malformed and hostile input: each gives a result or one line of error, and never runs code from data."""
