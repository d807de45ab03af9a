"""Plug-ins of ardcube: cloud masks."""
