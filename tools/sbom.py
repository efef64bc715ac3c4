#!/usr/bin/env python3
"""What the binary links, as a bill of materials: CycloneDX in JSON, out of what cargo knows.

    sheaf version --json | tools/sbom.py > OUT.cdx.json

Packages are those that cargo resolves for the host alone, with its features and for the target of that binary;
licences are the packages' own (or what deny.toml clarifies, or what their licence files begin with), checksums those of
Cargo.lock. It ends with 1 where the binary says other versions of itself, wasmtime or Temporal's SDK than Cargo.lock has.
"""

import json
import os
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "sheaf-host"
# What licence files begin with, where packages have nothing else.
TITLES = {"The MIT License": "MIT"}


def cargo(*arguments):
    command = [os.environ.get("CARGO", "cargo"), *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """The packages that are linked, and what each of them uses: (name, version) → a set of the same.

    Macros run in the compiler, and nothing of them is linked. A package is shown with what it uses once.
    """
    tree = cargo("tree", "--locked", "--offline", "--package", HOST, "--target", target, "--charset", "ascii",
                 "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}")
    uses, above = {}, []
    for line in filter(None, tree.splitlines()):
        depth, name, version = line.split()[:3]
        package = (name, version.removeprefix("v"))
        del above[int(depth):]
        if above:
            uses[above[-1]].add(package)
        uses.setdefault(package, set())
        above.append(package)
    return uses


def licence(about, clarified):
    """As an expression of SPDX."""
    said = about["license"] or clarified.get(about["name"])
    if not said and about["license_file"]:
        file = Path(about["manifest_path"]).parent / about["license_file"]
        said = TITLES.get(file.read_text().lstrip().partition("\n")[0].strip())
    if not said:
        sys.exit(f"{about['name']} names no licence: see which it is, and clarify it in deny.toml")
    # The older way of writing it.
    return said.replace(" / ", "/").replace("/", " OR ")


def reference(package):
    return "{}@{}".format(*package)


def one(packages, kind):
    """Packages by name and version, of which there is one each: they could not be told apart otherwise."""
    found = {}
    for package in packages:
        key = (package["name"], package["version"])
        if key in found:
            sys.exit(f"{kind} has {reference(key)} twice")
        found[key] = package
    return found


def component(package, known, locked, clarified):
    name, version = package
    about = known[package]
    made = {"type": "library", "bom-ref": reference(package), "name": name, "version": version, "scope": "required"}
    if about["source"] and not about["source"].startswith("registry+"):
        sys.exit(f"{name} comes from {about['source']}, and it is not known how to name that")
    if about["source"]:
        made["hashes"] = [{"alg": "SHA-256", "content": locked[package]["checksum"]}]
    made["licenses"] = [{"expression": licence(about, clarified)}]
    if about["source"]:
        made["purl"] = f"pkg:cargo/{name}@{version}"
    return made


def agree(said, host, uses):
    """The binary is the one that Cargo.lock and the sources are of."""
    used = dict(uses[host])
    expected = {"version": host[1], "wasmtime": used["wasmtime"], "temporal_sdk": used["temporalio-sdk"]}
    for what, version in expected.items():
        if said[what] != version:
            sys.exit(f"the binary says {what} {said[what]}, and Cargo.lock has {version}: build it again")


def main():
    said = json.load(sys.stdin)["result"]
    target = said["target"]
    metadata = json.loads(cargo("metadata", "--locked", "--offline", "--format-version", "1",
                                "--filter-platform", target))
    known = one(metadata["packages"], "cargo metadata")
    locked = one(tomllib.loads((ROOT / "Cargo.lock").read_text())["package"], "Cargo.lock")
    deny = tomllib.loads((ROOT / "deny.toml").read_text())
    clarified = {entry["crate"]: entry["expression"] for entry in deny["licenses"]["clarify"]}

    uses = linked(target)
    host = next(package for package in uses if package[0] == HOST)
    agree(said, host, uses)
    properties = [{"name": "sheaf:target", "value": target}]
    if said["commit"]:
        properties.insert(0, {"name": "sheaf:commit", "value": said["commit"]})
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": reference(host),
                "name": "sheaf",
                "version": host[1],
                "licenses": [{"expression": known[host]["license"]}],
            },
            "properties": properties,
        },
        "components": [component(package, known, locked, clarified) for package in sorted(uses) if package != host],
        "dependencies": [{"ref": reference(package), "dependsOn": sorted(map(reference, uses[package]))}
                         for package in sorted(uses)],
    }
    # A number of its own for each content, and the same for the same.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))
    bill["serialNumber"] = f"urn:uuid:{number}"
    json.dump(bill, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
