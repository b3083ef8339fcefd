"""The wheel, as its users get it: what is inside, and a project that runs on it.

``tests/environments.py`` names the Python for each Django; without one of them its test is
skipped with the reason.
"""

import os
import subprocess
import sys
import zipfile

import pytest

from tests import environments
from tests.environments import ROOT

PROJECT = """
import django
from django.conf import settings
from django.core.management import call_command

DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{alias}.sqlite3"}
    for alias in ("default", "library")
}
settings.configure(
    SECRET_KEY="for this test only",
    DATABASES=DATABASES,
    DATABASE_ROUTERS=["xdbrel.routers.HomeRouter"],
    XDBREL={"HOMES": {"library": "library"}},
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.messages",
        "django.contrib.sessions", "django.contrib.admin", "xdbrel", "library",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()
for alias in DATABASES:
    call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
call_command("check")

from django.contrib.auth.models import User
from library.models import Book
ada = User.objects.create(username="ada")
notes = ada.books.create(title="Notes")
assert list(ada.books.all()) == [notes]
print(Book.objects.get().author, Book.objects.get()._state.db)
ada.delete()
print(Book.objects.count(), "left", django.get_version())
"""

MODELS = """
from django.conf import settings
from django.db import models
from xdbrel import CrossDBForeignKey

class Book(models.Model):
    title = models.CharField(max_length=100)
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="books"
    )
"""


def run(*command, cwd):
    """Run a command apart from this tree and this environment; return what it printed."""
    apart = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=apart,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("xdbrel-*.whl")
    return built


def test_contents(wheel):
    """Whatever the package holds is in the wheel, code or not, and nothing else."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    held = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "xdbrel").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == held
    assert {"xdbrel/py.typed", "xdbrel/migrations/0001_initial.py"} <= inside


def test_pytest_finds_its_plugin(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert archive.read(name).decode().split() == [
            "[pytest11]",
            "xdbrel",
            "=",
            "xdbrel.pytest_plugin",
        ]


def test_license(wheel):
    """The license travels with the wheel."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


@pytest.mark.parametrize(
    ("environment", "django"), [("django52", "5.2"), ("django61", "6.1")], ids=["5.2", "6.1"]
)
def test_project(wheel, tmp_path, environment, django):
    """In an empty environment the wheel carries a small project over two databases."""
    try:
        base = environments.python_for(environment)
    except environments.PythonMissing as error:
        pytest.skip(str(error))
    folder = tmp_path / "environment"
    run(base, "-m", "venv", folder, cwd=tmp_path)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-qq", wheel, f"Django=={django}.*", cwd=tmp_path)
    project = tmp_path / "project"
    (project / "library").mkdir(parents=True)
    (project / "library" / "__init__.py").touch()
    (project / "library" / "models.py").write_text(MODELS)
    (project / "run.py").write_text(PROJECT)
    printed = run(python, "-W", "error", "run.py", cwd=project)
    author, left = printed.splitlines()[-2:]
    assert author == "ada library"
    assert left.startswith(f"0 left {django}")
