#!/usr/bin/env python3
"""Takes the names of machines and processes out of a recorded history: anonymous-history.py FILE"""

import base64
import json
import re
import sys

PROCESS = re.compile(r"process \d+ on [\w.-]+")


def nobody(text):
    return PROCESS.sub("process 1 on sheaf", text)


def payload(data):
    try:
        return base64.b64encode(nobody(base64.b64decode(data).decode()).encode()).decode()
    except ValueError:
        return data


def anonymous(value):
    if isinstance(value, dict):
        return {
            key: "sheaf"
            if key in ("identity", "binary_checksum") and value[key]
            else payload(value[key])
            if key == "data" and isinstance(value[key], str)
            else anonymous(value[key])
            for key in value
        }
    if isinstance(value, list):
        return [anonymous(one) for one in value]
    # A sticky task queue is called after its worker.
    if isinstance(value, str) and "@" in value:
        return "sheaf"
    return nobody(value) if isinstance(value, str) else value


with open(sys.argv[1], encoding="utf-8") as file:
    json.dump(anonymous(json.load(file)), sys.stdout, separators=(",", ":"))
