"""The pytest plugin and the documented example, in a project of their own on SQLite."""

import importlib.metadata
import os
import re
import subprocess
import sys

import pytest

from tests.environments import ROOT

pytest_plugins = ["pytester"]

FIXTURES = (
    "xdbrel_assert_no_orphans",
    "xdbrel_assert_queries",
    "xdbrel_count_queries",
    "xdbrel_crash",
    "xdbrel_drain",
)

SETTINGS = """
SECRET_KEY = "for this test only"
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    for alias in ("default", "blog")
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {"HOMES": {"blog": "blog"}}
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "xdbrel", "blog", "journal",
]
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""

URLS = """
from django.urls import path

from views import remove

urlpatterns = [path("remove/<int:pk>", remove)]
"""

BLOG = """
from django.contrib.auth.models import User
from django.db import models

from xdbrel import CrossDBForeignKey


class Post(models.Model):
    title = models.CharField(max_length=20)
    author = CrossDBForeignKey(User, on_delete=models.CASCADE, related_name="posts")
"""

JOURNAL = """
from django.db import models


class Removal(models.Model):
    user = models.IntegerField()
"""


def documented():
    """Return the example's files by name."""
    page = (ROOT / "docs" / "testing.md").read_text()
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", page, re.DOTALL))


def installed():
    found = importlib.metadata.entry_points(group="pytest11", name="xdbrel")
    return any(point.value == "xdbrel.pytest_plugin" for point in found)


@pytest.fixture
def arguments():
    """What lets pytest load the plugin, where the package's metadata do not say so yet."""
    return ["-p", "no:cacheprovider", *([] if installed() else ["-p", "xdbrel.pytest_plugin"])]


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(
        **{
            "settings": SETTINGS,
            "urls": URLS,
            "views": documented()["views.py"],
            "blog/__init__": "",
            "blog/models": BLOG,
            "journal/__init__": "",
            "journal/models": JOURNAL,
        }
    )
    pytester.makeini(
        "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npythonpath = .\nfilterwarnings = error\n"
    )
    return pytester


MARK = 'pytest.mark.django_db(databases="__all__")'


@pytest.mark.parametrize("mark", [MARK, MARK.replace(")", ", transaction=True)")])
def test_the_documented_example_with_pytest(project, arguments, mark):
    example = documented()["test_remove.py"]
    assert MARK in example
    project.makepyfile(test_remove=example.replace(MARK, mark))
    result = project.runpytest_subprocess(*arguments)
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("case", ["TestCase", "TransactionTestCase"])
def test_the_documented_example_with_unittest(project, case):
    """Run by Django's own runner: nothing of it needs pytest."""
    example = documented()["tests.py"]
    assert "import TestCase" in example
    project.makepyfile(tests=re.sub(r"\bTestCase\b", case, example))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "test", "--settings=settings", "tests"],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project.path}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "Ran 3 tests" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_what_a_failing_test_says(project, arguments):
    project.makepyfile(
        test_it="""
        import pytest
        from blog.models import Post

        pytestmark = pytest.mark.django_db(databases="__all__")

        def test_orphans(xdbrel_assert_no_orphans):
            Post.objects.create(title="one", author_id=7)
            xdbrel_assert_no_orphans()

        def test_queries(xdbrel_assert_queries):
            with xdbrel_assert_queries(default=1):
                pass
        """
    )
    result = project.runpytest_subprocess(*arguments)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "E * AssertionError: There are orphans:",
            "E * blog.Post.author (blog → default): key 7 (1 source)",
            "E * Queries are not as expected: default was sent 0, expected 1.",
        ]
    )


def test_every_fixture_is_documented(project, arguments):
    result = project.runpytest_subprocess(*arguments, "--fixtures")
    shown = set(re.findall(r"^(xdbrel_\w+)", result.stdout.str(), re.MULTILINE))
    assert shown == set(FIXTURES)
    page = (ROOT / "docs" / "testing.md").read_text()
    assert all(f"`{name}`" in page for name in FIXTURES)


def test_the_plugin_needs_no_settings(pytester, arguments, monkeypatch):
    """Without pytest-django and settings it is loaded all the same, and brings in no model."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "xdbrel.pytest_plugin" in sys.modules
            assert {"xdbrel.models", "xdbrel.testing", "pytest_django"}.isdisjoint(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "xdbrel.pytest_plugin")
    result.assert_outcomes(passed=1)
