"""Hash JSON values to compare inputs and identities (pure)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_JSON = json.JSONEncoder(sort_keys=True, check_circular=False, default=str)


def digest(value: Any) -> str:
    """Return a hash of a JSON value: 16 hexadecimal digits."""
    text = _JSON.encode(value)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
