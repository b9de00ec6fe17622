"""A JSON schema of profiles, for editors: made from the same declarations that the reader checks."""

from typing import Any

from .schema import SYSTEMS, Leaf, Section, Table, schema_for

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NONE = {"enum": ["none", None]}


def profile_json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of profiles.

    A file that names its system may hold the keys of that system, one that does not those of any; a file that
    extends no other must hold all that is required. What the schema cannot say, such as one coefficient for each Noll
    index, the reader still checks.

    Returns
    -------
    dict
        Plain JSON values. `dluxshera describe --schema` prints it.
    """
    sections = {system: schema_for(system) for system in SYSTEMS}
    systems = {system: _section(section) for system, section in sections.items()}
    definitions = {**systems, **{f"{name}_alone": _required(section) for name, section in sections.items()}}
    alone = {"not": {"required": ["extends"]}}
    return {
        "$schema": DRAFT,
        "title": "Profile of dluxshera",
        **_union(list(systems.values())),
        "allOf": [
            {"if": alone, "then": {"required": ["system"]}},
            *({"if": _names(system), "then": _reference(system)} for system in SYSTEMS),
            *({"if": {"allOf": [alone, _names(s)]}, "then": _reference(f"{s}_alone")} for s in SYSTEMS),
        ],
        "$defs": definitions,
    }


def _names(system: str) -> dict[str, Any]:
    return {"properties": {"system": {"const": system}}, "required": ["system"]}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _node(node: Any) -> dict[str, Any]:
    if isinstance(node, Leaf):
        return _leaf(node)
    if isinstance(node, Table):
        return _table(node)
    return {"anyOf": [_NONE, _section(node)]} if node.optional else _section(node)


def _section(section: Section) -> dict[str, Any]:
    properties = {key: _node(node) for key, node in section.keys.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _leaf(leaf: Leaf) -> dict[str, Any]:
    spec = leaf.spec
    unit = f" In {spec.unit}, or with another unit." if spec.unit else ""
    described = {"description": spec.doc + unit} if spec.doc else {}
    fallback = {} if spec.required or not isinstance(spec.default, int | float | str) else {"default": spec.default}
    return {**leaf.check.json, **described, **fallback}


def _table(table: Table) -> dict[str, Any]:
    """Entries by pattern: the paths are listed for the editor's sake, other patterns are possible."""
    known = {path: {**table.check.json, "description": spec.doc} for path, spec in (table.specs or {}).items()}
    return {
        "type": "object",
        "description": table.doc,
        "properties": known,
        "additionalProperties": table.check.json,
    }


def _required(section: Section) -> dict[str, Any]:
    """What a section must hold by itself: its required keys, and either of two where one does for the other."""
    leaves = {key: node for key, node in section.keys.items() if isinstance(node, Leaf) and node.needed_by}
    below = {key: _required(node) for key, node in section.keys.items() if isinstance(node, Section)}
    needed = [key for key, leaf in leaves.items() if not leaf.unless]
    needed += [key for key, inner in below.items() if "required" in inner and not section.keys[key].optional]
    either = [{"anyOf": [{"required": [k]}, {"required": [leaf.unless]}]} for k, leaf in leaves.items() if leaf.unless]
    found: dict[str, Any] = {"properties": {key: inner for key, inner in below.items() if inner}} if below else {}
    found |= {"required": needed} if needed else {}
    return found | ({"allOf": either} if either else {})


def _union(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """A schema of objects that holds every key that any of them holds."""
    keys = {key: None for schema in schemas for key in schema["properties"]}
    merged = {key: _merged([s["properties"][key] for s in schemas if key in s["properties"]]) for key in keys}
    return {**schemas[0], "properties": merged}


def _merged(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    first = schemas[0]
    if all(schema == first for schema in schemas):
        return first
    return _union(schemas) if all("properties" in schema for schema in schemas) else {"anyOf": schemas}
