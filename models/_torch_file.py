"""Tensors of a PyTorch file of the format before 1.6, read without PyTorch.

The file is a sequence of pickles (magic number, protocol, machine, tensors, keys of the storages),
then each storage as its length (int64) and its bytes. A pickle may call any function, so this
reader knows the names that describe a tensor and refuses every other.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage:
    """The numbers that tensors are cut from; filled when the file's end is reached."""

    def __init__(self, dtype: str):
        self.dtype = dtype
        self.values = np.empty(0, dtype)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, reference):
        kind, dtype, key, *_ = reference
        if kind != "storage" or dtype not in _DTYPES.values():
            raise pickle.UnpicklingError(f"{kind} is no storage")
        return self.storages.setdefault(key, _Storage(dtype))


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dictionary by name, float32 or int64, in the file's order.

    Raises:
        ValueError: the file holds anything else, or is cut short.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if [_Unpickler(file).load() for _ in range(2)] != [_MAGIC_NUMBER, _PROTOCOL]:
                raise ValueError("not a PyTorch file of this format")
            _Unpickler(file).load()  # Of the machine that wrote it.
            reader = _Unpickler(file)
            tensors = reader.load()
            for key in _Unpickler(file).load():
                storage = reader.storages[key]
                length = int(np.fromfile(file, "<i8", 1)[0])
                storage.values = np.fromfile(file, storage.dtype, length)
            return {name: _tensor(*parts) for name, parts in tensors.items()}
    except (
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
    ) as error:
        raise ValueError(f"not a PyTorch file of tensors: {error}") from None


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
    """Cuts a tensor out of its storage; strides count numbers, not bytes."""
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or last >= len(storage.values):
        raise ValueError("a tensor reaches beyond its storage")
    item = storage.values.itemsize
    view = np.lib.stride_tricks.as_strided(
        storage.values[offset:], shape, [stride * item for stride in strides], writeable=False
    )
    return np.ascontiguousarray(view).reshape(shape)
