"""The address at which the servers of tests listen."""

import os

HOST = os.environ.get("ARDCUBE_TEST_HOST", "127.0.0.1")
"""Loopback, or the address of a host in a network namespace."""
