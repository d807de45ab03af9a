"""Cloud masks by the names of the prior demo; they are defined in `ardcube.pixels.masks`."""

from ardcube.pixels.masks import (
    CloudMaskHook,
    DefaultCloudMaskHook,
    SCLCloudMaskHook,
    cloud_mask,
    cloud_mask_names,
)

__all__ = ["CloudMaskHook", "DefaultCloudMaskHook", "SCLCloudMaskHook", "cloud_mask", "cloud_mask_names"]
