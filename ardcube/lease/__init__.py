"""One writer per cube: a run holds a lease, and workers check it before they write.

The folder of a ledger comes in; a held lease, or an error that names its holder, goes out.
"""
