"""Import pyarrow without pandas, which a build does not use."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


def import_arrow_alone() -> None:
    """Let pyarrow look for pandas now, and find none.

    Its first conversion imports pandas to recognise a Series among its arguments: half a second of CPU. A build passes
    lists and NumPy arrays only. Later imports of pandas succeed, and so does `to_pandas`.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)


class _NoPandas(MetaPathFinder):
    """Finder that fails for pandas."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise ModuleNotFoundError for pandas, and leave other modules to other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not imported here", name=fullname)
