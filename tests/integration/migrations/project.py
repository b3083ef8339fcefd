"""A throw-away project in a directory, driven through its own ``manage.py`` processes.

Its databases are the test run's own, where those are on a server, and files in the
directory where they are SQLite's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from django.db import connections

ROOT = Path(__file__).resolve().parents[3]

_SETTINGS = """
import json, os
from pathlib import Path

from tests import servers

servers.use_pymysql_where_alone()
HERE = Path(__file__).parent
DATABASES = json.loads((HERE / "databases.json").read_text())
INSTALLED_APPS = ["xdbrel", *json.loads((HERE / "apps.json").read_text())]
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {"HOMES": json.loads((HERE / "homes.json").read_text())}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for tests only"
USE_TZ = True
"""


class Project:
    """``databases`` names the aliases of the test run that the project uses, by its own.

    ``apps`` are the texts of ``models.py`` by app, ``settings`` more lines of settings.
    """

    def __init__(self, directory, databases, apps, homes=None, settings=""):
        self.directory = directory
        (directory / "project_settings.py").write_text(_SETTINGS + settings)
        (directory / "apps.json").write_text(json.dumps(list(apps)))
        (directory / "homes.json").write_text(json.dumps(homes or {}))
        (directory / "databases.json").write_text(
            json.dumps({own: self._database(own, alias) for own, alias in databases.items()})
        )
        for app, models in apps.items():
            (directory / app).mkdir()
            (directory / app / "__init__.py").touch()
            self.write_models(app, models)

    def _database(self, own, alias):
        configured = connections[alias].settings_dict
        if connections[alias].vendor == "sqlite":
            return {"ENGINE": configured["ENGINE"], "NAME": str(self.directory / f"{own}.sqlite3")}
        names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
        return {name: configured[name] for name in names}

    def write_models(self, app, models):
        (self.directory / app / "models.py").write_text(models)

    def manage(self, *args, script=None):
        """Run a management command, or ``script`` with Django set up; return its output."""
        command = ["-m", "django", *args]
        if script is not None:
            command = ["-c", f"import django; django.setup()\n{script}"]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.directory,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "project_settings",
                "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manage_all(self, *commands):
        """Run management commands one after the other in one process, for a shorter time."""
        script = "from django.core.management import execute_from_command_line\n"
        for command in commands:
            script += f"execute_from_command_line({['django', *command]!r})\n"
        return self.manage(script=script)

    def migration(self, app, number):
        """Return the text of a migration file by its number."""
        (found,) = (self.directory / app / "migrations").glob(f"{number:04d}_*.py")
        return found.read_text()

    def describe(self, table, using="default"):
        """Return the columns, constraints and rows of a table as the database tells them."""
        script = f"""
import json
from django.db import connections
connection = connections[{using!r}]
with connection.cursor() as cursor:
    found = connection.introspection.get_constraints(cursor, {table!r})
    columns = connection.introspection.get_table_description(cursor, {table!r})
    cursor.execute("SELECT * FROM " + connection.ops.quote_name({table!r}) + " ORDER BY 1")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, map(str, row))) for row in cursor.fetchall()]
constraints = list(found.values())
print(json.dumps({{
    "columns": {{
        column.name: [str(column.type_code), column.internal_size, column.null_ok]
        for column in columns
    }},
    "foreign_keys": {{
        c["columns"][0]: list(c["foreign_key"]) for c in constraints if c["foreign_key"]
    }},
    "unique": sorted(c["columns"] for c in constraints if c["unique"]),
    "indexed": sorted({{c["columns"][0] for c in constraints if c["index"] or c["unique"]}}),
    "rows": rows,
}}))
"""
        return json.loads(self.manage(script=script))

    def tables(self, using):
        """Return the names of the tables of one database."""
        script = f"""
import json
from django.db import connections
print(json.dumps(connections[{using!r}].introspection.table_names()))
"""
        return set(json.loads(self.manage(script=script)))
