"""Hostile or odd input: whatever it is, the answer is a result or one clear line, and never code run from data."""
