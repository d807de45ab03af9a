"""The models at the border: what is built (`CubeConfig`), up to when (`RefreshConfig`), where and how (`RunConfig`).

They validate what a person, a form or a deployment hands in, once. Their fields are the options of the
command line and of the Prefect form, so a field's description is what both show.
"""

from ardcube.config.cube import DEFAULT_RESOLUTION, EARTH_SEARCH, CubeConfig, GrowingCubeConfig, Resampling
from ardcube.config.refresh import RefreshConfig
from ardcube.config.run import Access, Reader, RunConfig

__all__ = [
    "DEFAULT_RESOLUTION",
    "EARTH_SEARCH",
    "Access",
    "CubeConfig",
    "GrowingCubeConfig",
    "Reader",
    "RefreshConfig",
    "Resampling",
    "RunConfig",
]
