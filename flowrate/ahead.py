"""Items made by a thread while the ones before them are used."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """Yields the items; while one is used, a thread takes up to `count` of the next ones.

    Args:
        items: advanced by that thread only. It need not be used up: what is under way when the
            reader leaves is finished, and nothing more is begun.
        count: at least 1.

    Raises:
        Whatever the items raise, when it is that item's turn.
    """
    thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        pending = collections.deque(thread.submit(next, items, _END) for _ in range(count))
        while (item := pending.popleft().result()) is not _END:
            pending.append(thread.submit(next, items, _END))
            yield item
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
