"""Cloud masks under the prior demo's module name; see `ardcube.pixels.masks`."""

from ardcube.pixels.masks import (
    CloudMaskHook,
    DefaultCloudMaskHook,
    SCLCloudMaskHook,
    cloud_mask,
    cloud_mask_names,
)

__all__ = ["CloudMaskHook", "DefaultCloudMaskHook", "SCLCloudMaskHook", "cloud_mask", "cloud_mask_names"]
