"""ardcube: analysis-ready data cubes of Sentinel-2 composites (the domain; no orchestration)."""
