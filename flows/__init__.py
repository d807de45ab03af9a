"""Orchestration: what runs, in which order, on which runner."""
