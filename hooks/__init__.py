"""Hooks of Prefect (states, names, logs, credentials, artifacts), and the cloud masks."""
