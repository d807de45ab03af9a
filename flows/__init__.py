"""Prefect flows and the command line: they choose the runner, map the chunk task, recover, and report progress."""
