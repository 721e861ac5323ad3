"""Whether a literal may be given to a variable of some type.

The one rule: lists and maps are looked into item by item, because the type of ``[[1], []]`` alone, a list of lists of
integers or of nothing, fits less than its items do.
"""

from __future__ import annotations

from collections.abc import Iterable

from flyteidl.core.literals_pb2 import Literal
from flyteidl.core.types_pb2 import LiteralType

from hydraflyte.backend.compiler.castable import is_castable
from hydraflyte.backend.compiler.literal_types import literal_type


def is_fitting(literal: Literal, wanted: LiteralType) -> bool:
    """Return whether ``literal``, which must hold a value, fits a variable of type ``wanted``."""
    given, kind = literal.WhichOneof("value"), wanted.WhichOneof("type")
    if (given, kind) == ("collection", "collection_type"):
        return _all_fit(literal.collection.literals, wanted.collection_type)
    if (given, kind) == ("map", "map_value_type"):
        return _all_fit(literal.map.literals.values(), wanted.map_value_type)
    if given in ("collection", "map") and kind == "union_type":
        return sum(is_fitting(literal, variant) for variant in wanted.union_type.variants) == 1
    found = literal_type(literal)
    return found is not None and is_castable(found, wanted)


def _all_fit(items: Iterable[Literal], wanted: LiteralType) -> bool:
    return all(is_fitting(item, wanted) for item in items)
