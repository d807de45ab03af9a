"""The cost of chunks: CPU hours, bytes, requests, objects and money (pure).

A plan, coefficients and measured chunks come in. Ranges of figures go out, each with its basis.
"""
