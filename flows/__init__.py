"""Prefect flows and the command line.

They choose the runner, map the chunk task, recover from lost workers, and report progress.
"""
