"""The documentation's build: MyST pages in this folder, rendered by Sphinx with Furo."""

import tomllib
from pathlib import Path

_project = tomllib.loads(
    (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
)["project"]

project = _project["name"]
release = _project["version"]
author = _project["authors"][0]["name"]
copyright = author

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
# Headings are link targets, so that a check's hint can point at its section.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
nitpicky = True

html_theme = "furo"
html_title = f"{project} {release}"
