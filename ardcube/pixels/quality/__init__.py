"""Quality layers: variables that describe the observations behind a composite (pure).

The clear and valid observations of a window come in; the arrays of the layers are filled.
"""
