"""Short hashes of JSON values, by which inputs and identities are compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_JSON = json.JSONEncoder(sort_keys=True, check_circular=False, default=str)


def digest(value: Any) -> str:
    """Short hash, 16 hexadecimal digits, of anything JSON can say."""
    text = _JSON.encode(value)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
