"""docs/moving.md, "Taking an app out of a monolith": every step, there and back, with writers.

A project of three apps on PostgreSQL. ``shop`` leaves, for MariaDB and for PostgreSQL; ``people``,
which it points at, and ``billing``, which points at it, stay. A process is a deployment: it has
the models and the settings of the moment in which it was started.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
import json
from pathlib import Path

from benchmarks import measuring
from tests import servers

servers.use_pymysql_where_alone()
HERE = Path(__file__).parent
NAMES = json.loads((HERE / "names.json").read_text())
DATABASES = {
    "default": measuring.postgresql(NAMES["default"]),
    "shop_db": getattr(measuring, NAMES["kind"])(NAMES["shop_db"]),
}
INSTALLED_APPS = ["xdbrel", "people", "shop", "billing"]
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = json.loads((HERE / "xdbrel.json").read_text())
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for tests only"
USE_TZ = True
"""

PEOPLE = """
from django.db import models

class Customer(models.Model):
    name = models.CharField(max_length=20)
"""

SHOP = """
from django.db import models
import xdbrel

class Tag(models.Model):
    name = models.CharField(max_length=20)

class Order(models.Model):
    customer = {field}("people.Customer", models.CASCADE, related_name="orders")
    number = models.CharField(max_length=20)
    tags = models.ManyToManyField(Tag)
    at = models.DateTimeField(auto_now=True)

class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    amount = models.DecimalField(max_digits=10, decimal_places=3)
"""

BILLING = """
from django.db import models
import xdbrel

class Invoice(models.Model):
    order = {field}("shop.Order", models.CASCADE)
"""

#: A process does what it is told, line by line, and answers each.
PROCESS = """
import contextlib, io, json, sys, traceback
import django
django.setup()
space = {}
for line in sys.stdin:
    answer, said = {}, io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            exec(json.loads(line), space)
        answer["result"] = space.pop("result", None)
    except BaseException:
        answer["error"] = traceback.format_exc()
    print(json.dumps({**answer, "said": said.getvalue()}), flush=True)
"""

#: Somebody who uses the shop all the time, each at rows of his own, and knows what he wrote.
WRITER = """
import random, threading, time
from django.db import connections
from billing.models import Invoice
from people.models import Customer
from shop.models import Line, Order, Tag

known, errors, stop = {{}}, [], threading.Event()

def use():
    rng = random.Random({seed})
    number = 0
    try:
        customer, tag = Customer.objects.get(name="ada"), Tag.objects.get()
        while not stop.is_set():
            number += 1
            what = rng.choice(["new", "new", "change", "delete"]) if known else "new"
            if what == "new":
                order = Order.objects.create(customer=customer, number=f"{seed}-{{number}}")
                order.tags.add(tag)
                Line.objects.create(order=order, amount="1.5")
                Invoice.objects.create(order=order)
                known[order.pk] = order.number
            elif what == "change":
                pk = rng.choice(list(known))
                order = Order.objects.get(pk=pk)
                order.number = f"{seed}-{{number}}b"
                order.save()
                known[pk] = order.number
            else:
                pk = rng.choice(list(known))
                Order.objects.get(pk=pk).delete()
                del known[pk]
            time.sleep(0.005)
    except Exception as error:
        errors.append(f"{{type(error).__name__}}: {{error}}")
    finally:
        connections.close_all()

thread = threading.Thread(target=use)
thread.start()
"""

STOP = """
stop.set()
thread.join()
result = {"known": known, "errors": errors}
"""

MOVE = ["xdbrel_move", "shop.Order", "shop.Tag", "--along", "shop.Line"]


class Project:
    """The project's directory, and the processes that run it."""

    def __init__(self, folder, kind):
        self.folder = folder
        self.stack = contextlib.ExitStack()
        suffix = f"{kind}{os.environ.get('XDBREL_DB_SUFFIX', '')}"
        names = {"kind": kind, "default": f"xdbrel_guide_a_{suffix}"}
        names["shop_db"] = f"xdbrel_guide_b_{suffix}"
        (folder / "guide_settings.py").write_text(SETTINGS)
        (folder / "names.json").write_text(json.dumps(names))
        for app in ("people", "shop", "billing"):
            (folder / app / "migrations").mkdir(parents=True)
            (folder / app / "__init__.py").touch()
            (folder / app / "migrations" / "__init__.py").touch()
        (folder / "people" / "models.py").write_text(PEOPLE)
        self.fields("models.ForeignKey")
        self.settings(HOMES={})

    def fields(self, field):
        """Deploy other fields."""
        (self.folder / "shop" / "models.py").write_text(SHOP.format(field=field))
        (self.folder / "billing" / "models.py").write_text(BILLING.format(field=field))

    def settings(self, **xdbrel):
        """Deploy other settings; processes that run keep theirs."""
        (self.folder / "xdbrel.json").write_text(json.dumps(xdbrel))

    def process(self):
        """Start a process."""
        return self.stack.enter_context(Process(self.folder))


class Process:
    def __init__(self, folder):
        path = os.pathsep.join([str(folder), str(ROOT)])
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "guide_settings"}
        environment |= {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self.running = subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.running.stdin.close()
        self.running.wait(timeout=60)
        self.running.stdout.close()

    def do(self, code):
        """Run code; return its ``result``."""
        self.running.stdin.write(json.dumps(code) + "\n")
        self.running.stdin.flush()
        answer = json.loads(self.running.stdout.readline())
        assert "error" not in answer, answer["error"]
        self.said = answer["said"]
        return answer["result"]

    def manage(self, *command):
        """Run a management command; return what it has written."""
        self.do(
            f"from django.core.management import call_command\ncall_command(*{list(command)!r})\n"
        )
        return self.said

    def write(self, seed):
        self.do(WRITER.format(seed=seed))

    def stop(self):
        """Let the writer stop; return what it knows to have written."""
        found = self.do(STOP)
        assert found["errors"] == []
        return {int(pk): number for pk, number in found["known"].items()}


def rows(process, alias):
    return process.do(
        "from shop.models import Line, Order, Tag\n"
        f"orders = dict(Order.objects.using({alias!r}).values_list('pk', 'number'))\n"
        f"lines = list(Line.objects.using({alias!r}).values_list('order_id', flat=True))\n"
        f"tags = Order.tags.through.objects.using({alias!r})\n"
        "tagged = list(tags.values_list('order_id', flat=True))\n"
        "result = [sorted(orders.items()), sorted(lines), sorted(tagged)]\n"
    )


def held(known):
    """What ``rows`` has to find where these orders are, and no others."""
    return [sorted([pk, number] for pk, number in known.items()), sorted(known), sorted(known)]


@pytest.fixture(params=["mariadb", "postgresql"])
def project(request, tmp_path):
    found = Project(tmp_path, request.param)
    with found.stack:
        first = found.process()
        first.do(
            "from benchmarks import measuring\n"
            "for alias in ('default', 'shop_db'): measuring.recreate(alias)"
        )
        try:
            yield found
        finally:
            last = found.process()
            first.do("from django.db import connections; connections.close_all()")
            last.do(
                "from benchmarks import measuring\n"
                "for alias in ('default', 'shop_db'): measuring.drop(alias)"
            )


@pytest.mark.services("postgres", "mariadb")
def test_every_step_there_and_back(project):
    """Nobody who uses the shop meets an error, and nothing that they wrote is lost."""
    assert servers.POSTGRES
    # The monolith.
    monolith = project.process()
    monolith.manage("makemigrations", "people", "shop", "billing", "-v0")
    monolith.manage("migrate", "-v0")
    monolith.do(
        "from people.models import Customer; from shop.models import Tag\n"
        "Customer.objects.create(name='ada'); Tag.objects.create(name='t')"
    )
    constraints = (
        "from django.db import connection\n"
        "with connection.cursor() as cursor:\n"
        "    found = connection.introspection.get_constraints(cursor, 'billing_invoice')\n"
        "result = sum(bool(one['foreign_key']) for one in found.values())"
    )
    assert monolith.do(constraints) == 1

    # 1. Change the fields, back, and again.
    project.fields("xdbrel.CrossDBForeignKey")
    changed = project.process()
    changed.manage("makemigrations", "shop", "billing", "-v0")
    changed.manage("migrate", "-v0")
    assert changed.do(constraints) == 0
    for app in ("shop", "billing"):
        changed.manage("migrate", app, "0001", "-v0")
    assert changed.do(constraints) == 1
    changed.manage("migrate", "-v0")
    old = project.process()
    old.write(1)

    # 2. Make the tables.
    project.settings(HOMES={"shop": "default"}, MOVING={"shop": "shop_db"})
    copying = project.process()
    copying.manage("xdbrel_migrate", "-v0")

    # 3. Copy the rows, back, and again, while they are written to.
    keep = [*MOVE, "--to", "shop_db", "--keep-source", "--headroom", "100000"]
    copying.manage(*keep)
    copying.manage(*keep)
    copying.manage("xdbrel_move", "shop.Order", "shop.Tag", "--abandon")
    assert rows(copying, "shop_db") == [[], [], []]
    copying.manage(*keep)

    # 4. Switch the router, process by process.
    project.settings(HOMES={"shop": "shop_db"}, MOVING={"shop": "default"})
    new = project.process()
    moving = project.process()
    new.write(2)
    for _ in range(3):
        moving.manage(*keep, "--from", "default")
    mine, others = old.stop(), new.stop()
    known = {**mine, **others}
    moving.manage(*keep, "--from", "default")
    assert rows(moving, "shop_db") == rows(moving, "default") == held(known)

    # Back to the old database, which has everything, and forth again.
    project.settings(HOMES={"shop": "default"}, MOVING={"shop": "shop_db"})
    back = project.process()
    back.write(3)
    back.manage(*keep)
    known |= back.stop()
    back.manage(*keep)
    assert rows(back, "default") == rows(back, "shop_db") == held(known)

    # 5. Remove the old rows, while the new ones are written to.
    project.settings(HOMES={"shop": "shop_db"}, MOVING={"shop": "default"})
    last = project.process()
    last.write(4)
    finishing = project.process()
    finishing.manage(*MOVE, "--from", "default", "--to", "shop_db")
    known |= last.stop()
    assert rows(finishing, "shop_db") == held(known)
    assert rows(finishing, "default") == [[], [], []]
    assert finishing.do(
        "from billing.models import Invoice; from shop.models import Order\n"
        "result = sorted(Invoice.objects.values_list('order_id', flat=True))"
        " == sorted(Order.objects.values_list('pk', flat=True))"
    )
