"""The JSON schema of a manifest, made of the same fields that the check uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.engine.families import family_named, family_names
from npukbuild.engine.manifest import TARGET, shape_fields
from npukbuild.targets import target_names

if TYPE_CHECKING:
    from npukbuild.engine.families import Family, Field


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a manifest, made of the same fields that the check uses."""
    families = [family_named(name) for name in family_names()]
    every = {one.name: one for family in families for one in family.fields} | {"target": TARGET}
    defaults = {"family": {"enum": [family.name for family in families]}}
    defaults |= {name: _matrix(one) for name, one in every.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "npukbuild manifest",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "include": {"type": "array", "items": {"type": "string"}, "description": "further manifests"},
            "defaults": {"type": "object", "additionalProperties": False, "properties": defaults},
            "kernel": {"type": "array", "items": {"anyOf": [_family_schema(family) for family in families]}},
        },
    }


def _family_schema(family: Family) -> dict[str, Any]:
    fields = {one.name: _matrix(one) for one in (*family.fields, TARGET)}
    sizes = {one.name: _value_schema(one) for one in shape_fields(family)}
    as_list = {"type": "array", "prefixItems": list(sizes.values()), "items": False, "minItems": len(sizes)}
    as_table = {"type": "object", "properties": sizes, "additionalProperties": False}
    return {
        "type": "object",
        "description": family.help,
        "additionalProperties": False,
        "properties": {
            "family": {"const": family.name},
            **fields,
            "shapes": {"type": "array", "minItems": 1, "items": {"anyOf": [as_list, as_table]}},
            "exclude": {"type": "array", "items": {"type": "object"}},
        },
    }


def _matrix(one: Field) -> dict[str, Any]:
    value = _value_schema(one)
    return {"description": one.help, "anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}


def _value_schema(one: Field) -> dict[str, Any]:
    if one.name == "target":
        return {"enum": list(target_names())}
    if one.kind in ("size", "number"):
        return {"type": "integer", "minimum": 1 if one.kind == "size" else 0}
    if one.kind == "flag":
        return {"type": "boolean"}
    if one.kind == "block":
        return {"type": "string", "pattern": "^0*[1-9][0-9]*x0*[1-9][0-9]*x0*[1-9][0-9]*$"}
    return {"enum": list(one.choices)} if one.choices else {"type": "string"}
