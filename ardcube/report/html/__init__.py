"""The report page of a cube: one HTML file that works from disk, without a server and without network.

A store and its ledger come in; a page of bounded size goes out.
"""
