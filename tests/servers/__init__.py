"""Services on loopback for tests: HTTP with ranges, a STAC API, S3, Dask, Prefect."""
