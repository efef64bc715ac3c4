"""Checks recorded requests against Glean's OpenAPI text and the models of its own Python client.

    check-requests.py RECORD --openapi FILE

RECORD is what `sheaf local-glean --record RECORD` wrote: one JSON object a line, with a path and a body.
The OpenAPI text allows fields that it does not know; here each of them is an error.
Needs jsonschema, pyyaml and glean-api-client.
"""

import argparse
import collections
import json
import re
import sys

import yaml
from glean.api_client import models
from jsonschema import Draft202012Validator

BASE = "/api/index/v1"

MODELS = {
    "/adddatasource": "CustomDatasourceConfig",
    "/getdatasourceconfig": "GetDatasourceConfigRequest",
    "/bulkindexdocuments": "BulkIndexDocumentsRequest",
    "/indexdocuments": "IndexDocumentsRequest",
    "/deletedocument": "DeleteDocumentRequest",
    "/updatepermissions": "UpdatePermissionsRequest",
    "/bulkindexusers": "BulkIndexUsersRequest",
    "/bulkindexgroups": "BulkIndexGroupsRequest",
    "/bulkindexmemberships": "BulkIndexMembershipsRequest",
    "/processallmemberships": "ProcessAllMembershipsRequest",
}


class Api:
    """Request schemas by path, flattened so that unknown fields can be refused."""

    def __init__(self, file):
        with open(file, encoding="utf-8") as text:
            self.spec = yaml.safe_load(text)
        self.validators = {}
        self.paths = []
        self.removed = {}
        for path, operations in self.spec["paths"].items():
            if mark := operations.get("post", {}).get("x-glean-deprecated"):
                self.removed[path] = mark["removal"]
            pattern = re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path))
            content = operations.get("post", {}).get("requestBody", {}).get("content", {})
            schema = next((part["schema"] for part in content.values()), None)
            self.paths.append((pattern, path, schema))

    def flat(self, schema):
        if "$ref" in schema:
            target = self.spec
            for key in schema["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
            return self.flat(schema)
        flat = {k: v for k, v in schema.items() if k not in ("allOf", "properties", "nullable")}
        properties = dict(schema.get("properties", {}))
        required = list(schema.get("required", []))
        for part in schema.get("allOf", []):
            part = self.flat(part)
            properties.update(part.get("properties", {}))
            required += part.get("required", [])
            flat = {**part, **flat}
        if properties:
            flat["properties"] = {name: self.flat(field) for name, field in properties.items()}
            flat["additionalProperties"] = False
        if required:
            flat["required"] = sorted(set(required))
        if "items" in flat:
            flat["items"] = self.flat(flat["items"])
        for choice in ("oneOf", "anyOf"):
            if choice in flat:
                flat[choice] = [self.flat(part) for part in flat[choice]]
        return flat

    def errors(self, path, body):
        matches = [found for found in self.paths if found[0].fullmatch(path)]
        if not matches:
            return [f"the API has no {path}"]
        _, name, schema = matches[0]
        if name in self.removed:
            return [f"{name} is marked for removal on {self.removed[name]}"]
        if schema is None:
            return []
        if name not in self.validators:
            self.validators[name] = Draft202012Validator(self.flat(schema))
        return [f"{error.json_path}: {error.message[:200]}" for error in self.validators[name].iter_errors(body)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("record")
    parser.add_argument("--openapi", required=True)
    options = parser.parse_args()
    api = Api(options.openapi)
    checked = collections.Counter()
    failed = 0
    with open(options.record, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            request = json.loads(line)
            path = request["path"].removeprefix(BASE)
            errors = api.errors(path, request["body"])
            model = MODELS.get(path)
            if model:
                try:
                    getattr(models, model).model_validate(request["body"])
                except ValueError as error:
                    errors.append(f"{model}: {error}")
            checked[path] += 1
            for error in errors:
                print(f"request {number}, {path}: {error}")
            failed += bool(errors)
    for path, count in sorted(checked.items()):
        print(f"{count:6} {path}")
    if not checked:
        sys.exit("nothing was recorded")
    print(f"{sum(checked.values()) - failed} requests passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
