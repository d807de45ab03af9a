"""Tests of the promises of ardcube, against real services on this machine."""
