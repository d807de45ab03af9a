"""Real services on loopback for the tests: HTTP with ranges, a STAC API, S3, Dask, Prefect."""
