#!/usr/bin/env python3
"""Holds the dashboard, the alert rules, their tests and their pages against each other and against deploy/metrics.txt.

That file has each metric that the dashboard and the rules go by, a name a line: a test of the host's holds it against a
worker. A histogram stands there without `_bucket`, `_sum` and `_count`.

    tools/check-metrics.py [--rules FILE] [FOLDER]

FOLDER is the repository. With --rules the dashboard's expressions are written into FILE as rules, for promtool.
"""

import argparse
import json
import re
import sys
from pathlib import Path

METRIC = re.compile(r"\b(?:sheaf|temporal|process)_[a-z0-9_]+\b")
# What Grafana puts in place of these, as far as PromQL's grammar is concerned.
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def expressions(dashboard):
    """What the dashboard asks for, with where."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel `{panel['title']}`", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable `{variable['name']}`", variable["query"]["query"]


def alerts(text):
    """The alerts of a rules file, by name, each as its text. It is YAML as we write it: a list item for each."""
    parts = re.split(r"^ +- alert: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def anchors(page):
    """The anchors of a page's headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def metrics(root, rules, dashboard):
    """Names that are used and not listed, or listed and not used."""
    path = root / "deploy/metrics.txt"
    lines = path.read_text().splitlines()
    if lines != sorted(set(lines)):
        yield f"{path}: each name once, sorted"
    used = {}
    for where, expression in [*dashboard, *((f"alert `{name}`", text) for name, text in rules.items())]:
        for name in METRIC.findall(expression):
            used.setdefault(re.sub(r"(?<=_seconds)_(?:bucket|sum|count)$", "", name), where)
    for name in sorted(used.keys() - set(lines)):
        yield f"{path}: {name} is not listed, and {used[name]} goes by it"
    for name in sorted(set(lines) - used.keys()):
        yield f"{path}: {name} is listed, and nothing goes by it"


def runbook(root, rules):
    """Alerts without a page, and pages without an alert."""
    page = root / "docs/operate.md"
    known = anchors(page.read_text())
    for name, text in rules.items():
        meant = f"docs/operate.md#{name.lower()}"
        if f"runbook: {meant}\n" not in text:
            yield f"alert {name}: its runbook is not {meant}"
        if name.lower() not in known:
            yield f"{page}: there is no heading {name}"
        for part in ("summary", "description", "severity"):
            if f"{part}:" not in text:
                yield f"alert {name}: it has no {part}"
    for anchor in sorted(anchor for anchor in known if re.fullmatch(r"sheaf[a-z]+", anchor)):
        if anchor not in {name.lower() for name in rules}:
            yield f"{page}: there is no alert for the heading #{anchor}"


def tried(root, rules):
    """Alerts that no test sees fire, or none sees not fire."""
    text = (root / "deploy/prometheus/alerts_test.yml").read_text()
    for name in rules:
        quiet = re.search(rf"alertname: {name}, exp_alerts: \[\]", text)
        fires = re.search(rf"alertname: {name}\n +exp_alerts:", text)
        if not quiet or not fires:
            yield f"alert {name}: no test sees it {'fire' if quiet else 'not fire'}"


def panels(dashboard):
    """What Grafana would take and show wrong."""
    numbers = [panel["id"] for panel in dashboard["panels"]]
    if len(numbers) != len(set(numbers)):
        yield "dashboard: two panels have one id"
    for panel in dashboard["panels"]:
        for part in [panel, *panel.get("targets", [])]:
            source = part.get("datasource", {}).get("uid")
            if panel["type"] != "row" and source != "${datasource}":
                yield f"dashboard, panel `{panel['title']}`: its data source is {source}, not the variable"


def as_rules(dashboard):
    """The expressions as rules; what they mean is not changed by the values of variables."""
    yield "groups:\n  - name: dashboard\n    rules:\n"
    for number, (where, expression) in enumerate(dashboard):
        if where.startswith("panel"):
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield f"      # {where}\n      - record: dashboard:{number}\n        expr: {json.dumps(expression)}\n"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rules", type=Path)
    arguments.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    arguments = arguments.parse_args()
    root = arguments.root
    rules = alerts((root / "deploy/prometheus/alerts.yml").read_text())
    dashboard = json.loads((root / "deploy/grafana/dashboard.json").read_text())
    asked = list(expressions(dashboard))
    if arguments.rules:
        arguments.rules.write_text("".join(as_rules(asked)))
    wrong = [*metrics(root, rules, asked), *runbook(root, rules), *tried(root, rules), *panels(dashboard)]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(rules)} alerts and {len(asked)} expressions of the dashboard: {len(wrong) or 'nothing'} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
