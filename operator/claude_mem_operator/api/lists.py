"""Lists whose entries must differ: by some of their fields, or as wholes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


@dataclass(frozen=True, slots=True)
class Unique:
    """Each entry once: by the fields that `keys` names, as a map of Kubernetes; without keys as wholes, a set."""

    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        written = handler(schema)
        if not self.keys:
            return {**written, "x-kubernetes-list-type": "set"}
        keys = [to_camel(key) for key in self.keys]
        return {**written, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}

    def _check(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        seen = set()
        for entry in entries:
            identity = tuple(getattr(entry, key) for key in self.keys) or (entry,)
            if identity in seen:
                words = {"identity": " and ".join(map(str, identity))}
                raise PydanticCustomError("duplicate", "holds {identity} twice; remove one", words)
            seen.add(identity)
        return entries
