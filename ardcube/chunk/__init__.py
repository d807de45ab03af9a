"""Build one chunk on a worker: read, mask, composite, write, record.

A batch of chunk jobs comes in; pixels in the store and one record per chunk go out.
"""
