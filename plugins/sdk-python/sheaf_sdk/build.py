"""`sheaf-build`: makes a component of the connector that `[tool.sheaf]` in `pyproject.toml` names."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

# componentize-py wants the resources of an interface in a module of that name.
DOCUMENTS = "from sheaf_sdk.component import Cursor\n"
IDENTITIES = "from sheaf_sdk.component_identities import Reading\n"
APP = """\
from sheaf_sdk.component import connector_of, documents_of, started
from {module} import {kind}

_connector = started({kind})
Connector = connector_of(_connector)
Documents = documents_of(_connector)
"""
APP_IDENTITIES = """\
from sheaf_sdk.component_identities import identities_of

Identities = identities_of(_connector)
"""


@dataclass
class Project:
    """What `pyproject.toml` says of a connector."""

    # The folder that its modules are in.
    path: Path
    # `module:Class`.
    module: str
    kind: str
    has_identities: bool
    output: Path

    @classmethod
    def read(cls, folder: Path) -> Project:
        file = folder / "pyproject.toml"
        try:
            said = tomllib.loads(file.read_text())
        except OSError as error:
            sys.exit(f"{file} cannot be read: {error.strerror}. Run this in the connector's folder.")
        except ValueError as error:
            sys.exit(f"{file} is not TOML: {error}")
        sheaf = said.get("tool", {}).get("sheaf", {})
        name = said.get("project", {}).get("name", "connector")
        module, colon, kind = sheaf.get("connector", "").partition(":")
        if not (colon and module.isidentifier() and kind.isidentifier()):
            sys.exit(f'{file}: set `connector` in [tool.sheaf] to "module:Class", such as "wiki:Wiki"')
        return cls(
            path=folder / sheaf.get("path", "src"),
            module=module,
            kind=kind,
            has_identities=sheaf.get("identities", False),
            output=folder / sheaf.get("output", f"build/{name}.wasm"),
        )


def build(project: Project, output: Path) -> None:
    """Writes the component, whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    with tempfile.TemporaryDirectory() as entry:
        app = APP + APP_IDENTITIES if project.has_identities else APP
        modules = {
            "app": app.format(module=project.module, kind=project.kind),
            "documents": DOCUMENTS,
        }
        if project.has_identities:
            modules["identities"] = IDENTITIES
        for name, text in modules.items():
            (Path(entry) / f"{name}.py").write_text(text)
        world = "python-with-identities" if project.has_identities else "python"
        command = [tool(), "--quiet", "--wit-path", str(HERE / "wit"), "--world", world]
        command += ["componentize", "app", "--output", str(partial)]
        for path in (entry, project.path, HERE.parent):
            command += ["--python-path", str(path)]
        # The packages of this environment are found, too.
        environment = os.environ | {"VIRTUAL_ENV": sys.prefix}
        if subprocess.run(command, env=environment).returncode != 0:
            sys.exit("componentize-py made no component of this: what it says is above.")
    partial.replace(output)


def tool() -> str:
    beside = Path(sys.executable).with_name("componentize-py")
    found = str(beside) if beside.is_file() else shutil.which("componentize-py")
    return found or sys.exit("componentize-py is not there: install this package with pip, which brings it.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="sheaf-build", description=__doc__)
    parser.add_argument("folder", nargs="?", default=".", help="the connector's folder")
    parser.add_argument("--output", help="where the component goes, instead of build/NAME.wasm")
    arguments = parser.parse_args()
    project = Project.read(Path(arguments.folder).resolve())
    output = Path(arguments.output).resolve() if arguments.output else project.output
    build(project, output)
    print(f"{os.path.relpath(output)}: {output.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
