"""TensorFlow without the packages that it imports only because they happen to be installed.

Keras looks for matplotlib, scikit-learn, pandas and scipy for helpers of its own, TensorFlow Lite
for JAX; each goes on where there is none. Together they were 2.5 of 7 s of `import tensorflow`
(TensorFlow 2.21, Keras 3.15, `python -X importtime`), and nothing here uses those helpers.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_OPTIONAL_PACKAGES = ("jax", "matplotlib", "pandas", "scipy", "sklearn")


@contextlib.contextmanager
def without_optional_packages() -> Iterator[None]:
    """Makes imports of packages that TensorFlow can do without fail, for the imports inside.

    What is imported already stays; afterwards all can be imported as usual.
    """
    hidden = [name for name in _OPTIONAL_PACKAGES if name not in sys.modules]
    # None in sys.modules is Python's own way to say that a module is not to be found.
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
