"""Prints documents of a manifest: choose.py FILE KIND, or choose.py FILE --pods for the pods that workloads would make."""

import sys

import yaml


def main():
    file, wanted = sys.argv[1:]
    with open(file, encoding="utf-8") as text:
        documents = list(yaml.safe_load_all(text))
    if wanted == "--pods":
        chosen = [pod(one) for one in documents if "template" in one.get("spec", {})]
    else:
        chosen = [one for one in documents if one["kind"] == wanted]
    if not chosen:
        sys.exit(f"{file} has no {wanted}")
    print(yaml.safe_dump_all(chosen))


def pod(workload):
    template = workload["spec"]["template"]
    metadata = template["metadata"] | {
        "name": workload["metadata"]["name"] + "-0",
        "namespace": workload["metadata"]["namespace"],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


if __name__ == "__main__":
    main()
