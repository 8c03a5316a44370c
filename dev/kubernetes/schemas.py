"""JSON schemas of everything that a manifest may hold, strict: a field that is not in the schema is a fault.

usage: schemas.py SWAGGER STRIMZI_FOLDER CRDS_FOLDER SCHEMAS_FOLDER

Reads Kubernetes' OpenAPI document, mends Strimzi's generated CRD and puts it beside the others in CRDS_FOLDER, and
writes SCHEMAS_FOLDER/<group>/<kind>_<version>.json, as kubeconform asks for them.
"""

import json
import sys
from pathlib import Path

import yaml

DEFINITIONS = "#/definitions/"
INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
NUMBER_OR_STRING = {"anyOf": [{"type": "number"}, {"type": "string"}]}
# What OpenAPI writes as a string and YAML as a number too.
LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": NUMBER_OR_STRING,
}
# Whatever these hold is a condition on what the schema beside them already lists.
CONDITIONS = ("allOf", "anyOf", "oneOf", "not")


def main():
    swagger, strimzi, crds, schemas = map(Path, sys.argv[1:])
    for file in strimzi.glob("*.yml"):
        mended = mend_strimzi(yaml.safe_load(file.read_text(encoding="utf-8")))
        (crds / f"{mended['metadata']['name']}.yaml").write_text(yaml.safe_dump(mended), encoding="utf-8")
    written = 0
    for kind, schema in [*of_kubernetes(json.loads(swagger.read_text(encoding="utf-8"))), *of_crds(crds)]:
        write(schemas, kind, schema)
        written += 1
    print(f"{written} schemas")


def write(folder, kind, schema):
    group, version, name = kind
    api_version = f"{group}/{version}" if group else version
    properties = schema.setdefault("properties", {})
    properties["apiVersion"] = {"enum": [api_version]}
    properties["kind"] = {"enum": [name]}
    properties.setdefault("metadata", {"type": "object"})
    schema["required"] = sorted({*schema.get("required", []), "apiVersion", "kind", "metadata"})
    # kubeconform takes the version for the group where there is no group.
    file = folder / (group or version) / f"{name.lower()}_{version}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(schema), encoding="utf-8")


def of_kubernetes(document):
    definitions = {name: strict(LOOSE.get(name, one)) for name, one in document["definitions"].items()}
    for name, definition in document["definitions"].items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        # Those with several are options of requests, not things.
        if len(kinds) != 1 or "metadata" not in definition.get("properties", {}):
            continue
        kind = kinds[0]
        needed = {}
        collect(definitions[name], definitions, needed)
        schema = json.loads(json.dumps(definitions[name])) | {"definitions": needed}
        yield (kind["group"], kind["version"], kind["kind"]), schema


def collect(node, definitions, needed):
    """Every definition that a schema leads to."""
    for part in walk(node):
        reference = part.get("$ref", "")
        # A schema of schemas has a property of that name, which is none.
        name = reference.removeprefix(DEFINITIONS) if isinstance(reference, str) else ""
        if name and name not in needed:
            needed[name] = definitions[name]
            collect(definitions[name], definitions, needed)


def walk(node):
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from walk(one)


def of_crds(folder):
    for file in sorted(folder.glob("*.yaml")):
        for crd in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                yield (spec["group"], version["name"], spec["names"]["kind"]), schema


def strict(schema):
    """A copy that takes no field but those that it lists."""
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    copy = {}
    for key, value in schema.items():
        if key == "properties":
            copy[key] = {name: strict(one) for name, one in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            copy[key] = strict(value)
        elif key in CONDITIONS or not key.startswith("x-"):
            copy[key] = value
    lists_all = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    if lists_all:
        copy.setdefault("additionalProperties", False)
    return copy


def mend_strimzi(crd):
    """What the generator cannot know: `config` holds any topic setting, as Strimzi's own CRD says, and the model's
    keeper of unknown fields is no field."""
    for version in crd["spec"]["versions"]:
        for node in walk(version["schema"]["openAPIV3Schema"]):
            node.get("properties", {}).pop("additionalProperties", None)
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"]["config"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return crd


if __name__ == "__main__":
    main()
