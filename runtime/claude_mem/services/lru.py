"""A bounded memory of what never changes: the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """A mapping that forgets.

    Parameters:
        capacity: what all values may weigh together, in a unit of the caller's.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, *, weight: int = 1) -> None:
        """Keep a value; one that is heavier than the capacity is not kept."""
        self.drop(key)
        if weight > self._capacity:
            return
        self._kept[key] = (value, weight)
        self._weight += weight
        while self._weight > self._capacity:
            _, (_, lost) = self._kept.popitem(last=False)
            self._weight -= lost

    def drop(self, key: K) -> None:
        """Forget a value, if it is there."""
        known = self._kept.pop(key, None)
        if known is not None:
            self._weight -= known[1]

    def __len__(self) -> int:
        return len(self._kept)
