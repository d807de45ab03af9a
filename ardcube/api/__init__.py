"""The calls of `import ardcube`: plan, build, open, status, retry and observations.

Models, paths and URIs come in; tables, datasets and summaries go out. Nothing here knows Prefect.
"""
