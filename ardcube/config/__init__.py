"""Models of a request: the cube (`CubeConfig`), its end (`RefreshConfig`), and the run (`RunConfig`).

Options of a person, a form or a deployment come in; validated, frozen models go out. Their fields are the options of
the command line and of the Prefect form, and both show the descriptions of the fields.
"""

from ardcube.config.area import DEFAULT_CRS, DEFAULT_RESOLUTION, UTM
from ardcube.config.asset_access import (
    Access,
    AccessByHost,
    AssetAccess,
    FileAccess,
    HeaderAccess,
    HostAccess,
    S3Access,
    TokenAccess,
    header_variables,
)
from ardcube.config.cube import CubeConfig, GrowingCubeConfig, Resampling
from ardcube.config.pool import CollectionAddress
from ardcube.config.refresh import RefreshConfig
from ardcube.config.run import Reader, RunConfig
from ardcube.config.scenes import EARTH_SEARCH

__all__ = [
    "DEFAULT_CRS",
    "DEFAULT_RESOLUTION",
    "EARTH_SEARCH",
    "UTM",
    "Access",
    "AccessByHost",
    "AssetAccess",
    "CollectionAddress",
    "CubeConfig",
    "FileAccess",
    "GrowingCubeConfig",
    "HeaderAccess",
    "HostAccess",
    "Reader",
    "RefreshConfig",
    "Resampling",
    "RunConfig",
    "S3Access",
    "TokenAccess",
    "header_variables",
]
