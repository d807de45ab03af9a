"""The work as values: chunk jobs, estimates, the memory model and batch sizes (pure).

A grid, periods and scenes come in; jobs with their region and inputs go out.
"""
