"""Items made by a thread while the ones before them are used."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """What comes after the last item."""


_END = _End()


def ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """Yields the items; while one is used, a thread takes up to `count` of the next ones.

    Args:
        items: advanced by that thread only. It need not be used up: what is under way when the
            reader leaves is finished, and nothing more is begun.
        count: at least 1.

    Raises:
        Whatever the items raise, when it is that item's turn.
    """

    def take() -> Item | _End:
        return next(items, _END)

    thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        pending = collections.deque(thread.submit(take) for _ in range(count))
        while not isinstance(item := pending.popleft().result(), _End):
            pending.append(thread.submit(take))
            yield item
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
