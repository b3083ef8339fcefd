"""Every log record says what was done, about which relation and where."""

import ast
from pathlib import Path

import pytest

import xdbrel

ROOT = Path(xdbrel.__file__).parent

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def calls():
    """Yield what every call that logs gives beside the message, and where it stands."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        named = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "logger"
            ):
                (extra,) = [word.value for word in node.keywords if word.arg == "extra"]
                extra = named[extra.id] if isinstance(extra, ast.Name) else extra
                yield pytest.param(extra, id=f"{path.relative_to(ROOT)}:{node.lineno}")


@pytest.mark.parametrize("extra", list(calls()))
def test_extras(extra):
    """Dashboards and alerts go by these, not by the words of a message."""
    keys = {key.value for key in extra.keys if isinstance(key, ast.Constant)}
    assert {"action", "relation", "alias"} <= keys
