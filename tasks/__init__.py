"""Prefect tasks: nothing but `@task` functions, each a few lines around `ardcube`."""
