"""Cloud masks for code that imports them from `hooks`; `ardcube.pixels.masks` defines them."""

from ardcube.pixels.masks import (
    CloudMaskHook,
    DefaultCloudMaskHook,
    SCLCloudMaskHook,
    cloud_mask,
    cloud_mask_names,
)

__all__ = ["CloudMaskHook", "DefaultCloudMaskHook", "SCLCloudMaskHook", "cloud_mask", "cloud_mask_names"]
