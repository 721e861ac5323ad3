"""Configs that are at hand when looked at, and small while nobody does: a sweep of 10,000 jobs has 30,000 of them.

A composed config takes 110 kB as objects and 2 to 3 kB packed. The one rule: a config comes back as it was, or is not
packed at all. Packed as configs travel to tasks, and so without pickle; nothing leaves the process.
"""

from __future__ import annotations

import weakref
import zlib
from collections import OrderedDict
from typing import Any

from flytekit.core.constants import MESSAGEPACK
from omegaconf import DictConfig, OmegaConf

from hydraflyte.transport.classes import ClassFinder
from hydraflyte.transport.decode import decode
from hydraflyte.transport.document import from_plain, to_bytes, unpack
from hydraflyte.transport.encode import encode
from hydraflyte.transport.errors import TransportError
from hydraflyte.transport.settings import MissingClass, Resolve, TransportSettings

_MOST_AWAKE = 64
_WHOLE = TransportSettings(resolve=Resolve.KEEP, missing_class=MissingClass.FAIL)


class Shelf:
    """The configs of one launch. Those that were looked at last are awake. For one thread."""

    def __init__(self, most_awake: int = _MOST_AWAKE) -> None:
        self._most_awake = most_awake
        self._awake: OrderedDict[int, RestingConfig] = OrderedDict()
        self._readable: set[str] = set()

    def put(self, config: DictConfig) -> RestingConfig:
        """Return a place for the config."""
        place = RestingConfig(self, config)
        self.touched(place)
        return place

    def touched(self, place: RestingConfig) -> None:
        """Note that a config is awake and in use; puts to rest what was looked at longest ago."""
        self._awake[id(place)] = place
        self._awake.move_to_end(id(place))
        while len(self._awake) > self._most_awake:
            _, oldest = self._awake.popitem(last=False)
            oldest.rest()

    def pack(self, config: DictConfig) -> bytes:
        """Return the config packed; empty if it cannot come back as it was (a class inside a function, an object)."""
        try:
            document = encode(config, _WHOLE)
            packed = zlib.compress(to_bytes(document, _WHOLE), 1)
            kinds = repr(document.shapes)
            if kinds not in self._readable:  # the shapes alone name classes, and are the same for all jobs
                unpacked(packed)
                self._readable.add(kinds)
        except TransportError:
            return b""
        return packed


class RestingConfig:
    """The place of one config on a shelf."""

    __slots__ = ("_answers", "_config", "_elsewhere", "_packed", "shelf")

    def __init__(self, shelf: Shelf, config: DictConfig) -> None:
        self.shelf = shelf
        self._config: DictConfig | None = config
        self._elsewhere: weakref.ref[DictConfig] | None = None
        self._packed = b""
        self._answers: dict[str, Any] = {}  # Any: what resolvers that are asked once, such as now, have answered

    def get(self) -> DictConfig:
        """Return the config: the same object as long as anybody holds it, changes to it included."""
        if self._config is None:
            held = None if self._elsewhere is None else self._elsewhere()
            if held is None:
                held = unpacked(self._packed)
                OmegaConf.set_cache(held, self._answers)
            self._config = held
        self.shelf.touched(self)
        return self._config

    def rest(self) -> None:
        """Pack the config; one that cannot be packed stays as it is."""
        if self._config is None:
            return
        self._packed = self.shelf.pack(self._config)
        if self._packed:
            self._answers = OmegaConf.get_cache(self._config)
            self._elsewhere = weakref.ref(self._config)
            self._config = None


def unpacked(packed: bytes) -> DictConfig:
    """Return what was packed.

    Raises:
        TransportError: a class that it names cannot be found.
    """
    document = from_plain(unpack(zlib.decompress(packed), MESSAGEPACK, _WHOLE))
    config = decode(document, finder=ClassFinder(settings=_WHOLE), settings=_WHOLE)
    assert isinstance(config, DictConfig)
    return config
