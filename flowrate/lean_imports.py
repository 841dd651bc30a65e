"""TensorFlow without the packages that it imports only because they happen to be installed.

Keras looks for matplotlib, scikit-learn, pandas and scipy for helpers of its own, TensorFlow Lite
for JAX; each works without them. Together they were 2.5 of 7 s of `import tensorflow`
(TensorFlow 2.21, Keras 3.15, `python -X importtime`), and nothing here uses those helpers.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import sys
from collections.abc import Iterator

_OPTIONAL_PACKAGES = frozenset({"jax", "matplotlib", "pandas", "scipy", "sklearn"})


@contextlib.contextmanager
def without_optional_packages() -> Iterator[None]:
    """Hides the packages from TensorFlow and Keras while these are being imported inside.

    Whoever else imports them, inside or afterwards, finds them; what is imported already stays.
    """
    finder = _HidingFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _HidingFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path=None, target=None) -> None:
        """Raises ModuleNotFoundError for what is to be hidden, else leaves it to other finders."""
        if name in _OPTIONAL_PACKAGES and (_is_loading("tensorflow") or _is_loading("keras")):
            raise ModuleNotFoundError(f"{name} is hidden from TensorFlow", name=name)


def _is_loading(name: str) -> bool:
    # The flag by which Python's own import system knows a module that is half imported.
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "_initializing", False)
