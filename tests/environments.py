"""The virtual environments under ``.venv/``: which there are and how they are made.

Owns the search for Pythons and the installation of the package with its groups; what
runs inside the environments is for ``tests/run.py`` and the Makefile. Needs nothing but
the standard library. ``python3 -m tests.environments lint`` makes the environment of
that name, where it is not there yet, and prints the path of its Python.

An environment is used again as long as ``pyproject.toml`` and its recipe stay the same.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = 11, 14


class PythonMissing(Exception):
    """No Python of this machine suits an environment."""


class InstallFailed(Exception):
    """A command that makes an environment failed; the message holds its last lines."""


@dataclass(frozen=True)
class Recipe:
    """What one environment holds, and the minor versions of Python 3 that suit, best first."""

    pythons: tuple[int, ...]
    groups: tuple[str, ...]
    extras: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    mysql: bool = False


RECIPES = {
    "django52": Recipe(
        pythons=(11, 12, 13, 14),
        groups=("test", "sample"),
        extras=("postgres",),
        requirements=("Django>=5.2,<5.3",),
        mysql=True,
    ),
    "django61": Recipe(
        pythons=(13, 14, 12),
        groups=("test", "sample"),
        extras=("postgres",),
        requirements=("Django>=6.1,<6.2",),
        mysql=True,
    ),
    "lint": Recipe(
        pythons=(11, 12, 13, 14),
        groups=("lint", "test"),
        extras=("postgres",),
        requirements=("Django>=5.2,<5.3",),
    ),
    "sample": Recipe(
        pythons=(13, 12, 14, 11), groups=("sample",), extras=("postgres",), mysql=True
    ),
    "docs": Recipe(pythons=(13, 12, 14, 11), groups=("docs",)),
}


@dataclass(frozen=True)
class Environment:
    """An environment that is ready, with a plain word on what it lacks."""

    name: str
    python: Path
    notes: tuple[str, ...]


@functools.cache
def pythons() -> dict[int, str]:
    """Return the Pythons of this machine that can make environments, by minor version."""
    names = [f"python3.{minor}" for minor in range(OLDEST, NEWEST + 1)] + ["python3"]
    places = [*os.environ.get("PATH", "").split(os.pathsep)]
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    places += sorted(glob.glob(os.path.join(pyenv, "versions", "*", "bin")), reverse=True)
    candidates = [sys.executable]
    candidates += [os.path.join(place, name) for name in names for place in places if place]
    if shutil.which("uv"):
        for minor in range(OLDEST, NEWEST + 1):
            asked = ["uv", "python", "find", "--no-project", "--system", f"3.{minor}"]
            candidates += _output(asked).split()
    found: dict[int, str] = {}
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            minor, base = _probe(candidate)
            if OLDEST <= minor <= NEWEST:
                found.setdefault(minor, base)
    return found


def python_for(name: str) -> str:
    """Return the Python that suits the recipe best; raises ``PythonMissing``."""
    wanted = RECIPES[name].pythons
    for minor in wanted:
        if minor in pythons():
            return pythons()[minor]
    raise PythonMissing(
        f"{name} needs Python 3.{min(wanted)} or later, with its venv module; there is "
        + (", ".join(f"3.{minor}" for minor in sorted(pythons())) or "none")
        + " (pyenv and uv install others)"
    )


def ensure(name: str) -> Environment:
    """Return the environment of that name, made first where it is missing or outdated.

    Raises ``PythonMissing`` where no Python suits and ``InstallFailed``.
    """
    folder = ROOT / ".venv" / name
    python = folder / "bin" / "python"
    stamp = folder / "stamp.json"
    base = python_for(name)
    fingerprint = _fingerprint(name, base)
    if stamp.exists() and python.exists():
        made = json.loads(stamp.read_text())
        if made["fingerprint"] == fingerprint:
            return Environment(name, python, tuple(made["notes"]))
    recipe = RECIPES[name]
    print(f"Making .venv/{name} with {base} ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([base, "-m", "venv", str(folder)])
    # Dependency groups need pip 25.1.
    _pip(python, "--upgrade", "pip>=25.1")
    package = f".[{','.join(recipe.extras)}]" if recipe.extras else "."
    groups = [part for group in recipe.groups for part in ("--group", group)]
    _pip(python, *groups, *recipe.requirements, "--editable", package)
    notes = _mysql_driver(python) if recipe.mysql else []
    stamp.write_text(json.dumps({"fingerprint": fingerprint, "notes": notes}))
    return Environment(name, python, tuple(notes))


def _mysql_driver(python: Path) -> list[str]:
    """Install mysqlclient or, where it cannot be built, the pure-Python PyMySQL."""
    try:
        _pip(python, "--editable", ".[mysql]")
    except InstallFailed:
        _pip(python, "PyMySQL>=1.1")
        return [
            "mysqlclient could not be built (on Debian it needs default-libmysqlclient-dev, "
            "pkg-config and python3-dev); PyMySQL stands in for it"
        ]
    return []


def _fingerprint(name: str, base: str) -> str:
    # Headers that were installed since are a reason to build mysqlclient after all.
    headers = any(
        subprocess.run(["pkg-config", "--exists", library], check=False).returncode == 0
        for library in ("mysqlclient", "mariadb", "libmariadb")
        if shutil.which("pkg-config")
    )
    parts = (RECIPES[name], base, headers and RECIPES[name].mysql)
    content = (ROOT / "pyproject.toml").read_bytes() + repr(parts).encode()
    return hashlib.sha256(content).hexdigest()


def _pip(python: Path, *arguments: str) -> None:
    quiet = ("--quiet", "--quiet", "--disable-pip-version-check", "--no-input")
    _run([str(python), "-m", "pip", "install", *quiet, *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise InstallFailed(f"{' '.join(command)} failed:\n{last}")


@functools.cache
def _probe(candidate: str) -> tuple[int, str]:
    """Return the minor version and the path of the Python itself; (0, "") for any other."""
    script = (
        "import sys, ensurepip, sqlite3, ssl, venv;"
        "print(*sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
    )
    words = _output([candidate, "-c", script]).strip().split(" ", 2)
    return (int(words[1]), words[2]) if len(words) == 3 and words[0] == "3" else (0, "")


def _output(command: list[str]) -> str:
    # pyenv's shims are on the PATH even for versions that they then refuse to run.
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.stdout if done.returncode == 0 else ""


if __name__ == "__main__":
    try:
        print(ensure(sys.argv[1]).python)
    except (PythonMissing, InstallFailed) as error:
        sys.exit(str(error))
