"""Prefect's hooks: states, names, logs, credentials, artifacts; cloud masks."""
