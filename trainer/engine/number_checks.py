"""`--debug_nan`: TensorFlow checks what each operation gives, and the first bad one is named.

`tf.debugging.enable_check_numerics` puts a check behind every operation that is traced from then
on. The operation's name tells the layer: `while/mlp/dense_1/MatMul`.
"""

from __future__ import annotations

import re

import tensorflow as tf

_IS_CHECK = "CheckNumerics"
# How TensorFlow 2.21 names the check behind an operation, and what was wrong with its output.
_NODE = re.compile(r"\{\{node ([^}]+?)/CheckNumericsV2(?:_\d+)?\}\}")
_VALUES = re.compile(r"Tensor had ([^\n]*?) values")
_LOOP = re.compile(r"^(while/|body/)+")


def enable() -> None:
    """Checks the operations of all that is traced from now on in this process."""
    tf.debugging.enable_check_numerics()


def bad_operation(error: Exception) -> str | None:
    """Returns, in words, the operation that an error is about; None where it is no such error."""
    text = str(error)
    node = _NODE.search(text)
    if not isinstance(error, tf.errors.InvalidArgumentError) or _IS_CHECK not in text or not node:
        return None
    values = _VALUES.search(text)
    return (
        f"{_LOOP.sub('', node[1])} gives {values[1] if values else 'a number that is not finite'}"
    )
