"""Prefect tasks: `@task` functions of a few lines that call `ardcube`."""
