"""A reader driver for odc-loader: the block reader and the resampler of this project under `odc.stac.load`.

``odc.stac.load(items, driver="ardcube.odc_driver.ExactDriver", ...)`` gives pixels that do not depend on Dask chunks,
because each is defined by its own position (docs/decisions/0002-own-resampler.md). Digital numbers are rounded half to
even, as in a cube. Files and grids that the resampler does not support are read by odc-loader's rasterio driver.
"""

from ardcube.odc_driver.driver import ExactDriver

__all__ = ["ExactDriver"]
