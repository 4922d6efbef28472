"""A cache that is limited by memory."""

import threading
from collections import OrderedDict
from typing import Any


class ByteCache:
    """Least recently used values up to a number of bytes; safe for threads. A pickled copy is empty.

    Args:
        limit: bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._values: OrderedDict = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    def get(self, key: Any) -> Any:
        """The value of ``key``, or None."""
        with self._lock:
            entry = self._values.get(key)
            if entry is None:
                return None
            self._values.move_to_end(key)
            return entry[0]

    def put(self, key: Any, value: Any, size: int) -> None:
        """Keep ``value`` of ``size`` bytes; the values that were not used for longest make room."""
        with self._lock:
            if key in self._values or size > self._limit:
                return
            self._values[key] = (value, size)
            self._used += size
            while self._used > self._limit:
                self._used -= self._values.popitem(last=False)[1][1]

    def __getstate__(self):
        return self._limit

    def __setstate__(self, limit: int):
        self.__init__(limit)
