"""From decoded windows to composites: projection, resampling, cloud masks, medians (pure).

Source pixels and their level come in. Observations, masks and composites on the cube's grid go out.
"""
