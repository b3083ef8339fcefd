"""The README's example runs as it stands there, in a project of its own."""

import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).parents[2] / "README.md"
ROOT = README.parent

SETTINGS = """
from pathlib import Path
HERE = Path(__file__).parent
SECRET_KEY = "example"
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / f"{alias}.sqlite3"}
    for alias in ("default", "blog_db")
}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "blog"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""

RUN = """
import django
django.setup()
from django.core.management import call_command
call_command("makemigrations", "blog", verbosity=0)
call_command("xdbrel_migrate", verbosity=0)
call_command("check")
from django.contrib.auth.models import User
from blog.models import Post
from xdbrel import prefetch_cross_db
"""


def blocks():
    example = README.read_text().split("<!-- example:")[1]
    return re.findall(r"```python\n(.*?)```", example, re.DOTALL)[:3]


def test_the_example_runs(tmp_path):
    settings, models, usage = blocks()
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "__init__.py").touch()
    (tmp_path / "blog" / "models.py").write_text(models)
    (tmp_path / "example_settings.py").write_text(SETTINGS + settings)
    (tmp_path / "run.py").write_text(RUN + usage)
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "DJANGO_SETTINGS_MODULE": "example_settings",
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "Hello ada",
        "(2, {'auth.User': 1, 'blog.Post': 1})",
    ]


def test_the_example_is_twenty_lines():
    lines = [
        line
        for block in blocks()
        for line in block.splitlines()
        if line.strip() and not line.startswith("# ")
    ]
    assert len(lines) <= 20
