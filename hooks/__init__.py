"""Prefect's hooks: state handlers, names, logs, credentials and artifacts of runs; and the cloud masks."""
