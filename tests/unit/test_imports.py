"""Every module imports in a fresh interpreter, before any settings are configured.

Modules that by nature need Django's registry of apps are derived from the import
statements: whatever imports the models, directly or through others, and the admin's.
"""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import xdbrel

ROOT = Path(xdbrel.__file__).parent

#: Modules that declare models, or subclass what cannot be imported without the registry.
NEEDS_REGISTRY = {
    "xdbrel.models": "declares models",
    "xdbrel.fields.generic": "subclasses the fields of django.contrib.contenttypes",
}

#: Imports each module as if it were the first of the package, and prints what happened.
SCRIPT = """
import importlib, json, sys
outcomes = {}
for name in json.loads(sys.argv[1]):
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "xdbrel"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        outcomes[name] = f"{type(error).__name__}: {error}"
    else:
        outcomes[name] = ""
print(json.dumps(outcomes))
"""


def modules():
    """Return every module of the package."""
    found = pkgutil.walk_packages([str(ROOT)], "xdbrel.", onerror=lambda name: None)
    return ["xdbrel", *(module.name for module in found)]


def imports_of(name):
    """Return the modules that ``name`` imports when it loads, its own packages included."""
    path = ROOT.parent.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = {name.rpartition(".")[0]}
    for node in executed(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def executed(tree):
    """Yield the statements that run at import: no bodies of functions, no typing blocks."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from executed(node)


def needing_registry():
    """Return the modules that import, at whatever distance, what needs the registry."""
    known = modules()
    importing = {name: imports_of(name) & set(known) for name in known}
    found = set(NEEDS_REGISTRY)
    while True:
        more = {name for name in known if importing[name] & found} - found
        if not more:
            return found
        found |= more


@pytest.fixture(scope="module")
def outcomes():
    """What importing each module came to, without settings and without ``setup()``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(modules())],
        cwd=ROOT.parent,
        env={"PYTHONPATH": str(ROOT.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(set(modules()) - needing_registry()))
def test_imports_before_setup(name, outcomes):
    """The module imports without DJANGO_SETTINGS_MODULE and without ``django.setup()``."""
    assert outcomes[name] == ""


@pytest.mark.parametrize("name", sorted(needing_registry()))
def test_imports_after_setup(name):
    """A module that needs the registry of apps imports once that is there."""
    __import__(name)


@pytest.mark.parametrize("name", sorted(NEEDS_REGISTRY))
def test_an_exception_that_is_not_needed_is_not_kept(name, outcomes):
    """A module is listed as needing the registry only as long as it does."""
    assert outcomes[name].startswith(("AppRegistryNotReady", "ImproperlyConfigured"))


def test_facade():
    """The public names are sorted, exist and are importable with a star."""
    assert sorted(xdbrel.__all__) == list(xdbrel.__all__)
    scope = {}
    exec("from xdbrel import *", scope)
    assert set(xdbrel.__all__) <= set(scope)
