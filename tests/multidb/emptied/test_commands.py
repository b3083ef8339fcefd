"""Django's commands with ``--database``, and xdbrel's, where ``default`` names no database."""

import io
import json

import pytest
from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections

from tests.multidb.emptied.conftest import ALIASES
from tests.multidb.emptied.shop.models import Order, Product
from xdbrel.models import CascadeIntent, ScanRun

pytestmark = pytest.mark.django_db(databases=ALIASES)

OF_USERS = ("auth_", "django_admin_log", "django_content_type")
#: How the names of the tables begin that are in each database.
TABLES = {
    "users": OF_USERS,
    "legacy_users": (*OF_USERS, "press_"),
    "customers": (
        *("django_flatpage", "django_redirect", "django_session", "django_site"),
        *("press_", "shop_"),
    ),
}


def called(*arguments, **options):
    """Call a command; return what it printed."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def tables(alias):
    every = set(connections[alias].introspection.table_names())
    return {name for name in every if not name.startswith("xdbrel_")} - {"django_migrations"}


@pytest.fixture
def unguarded(monkeypatch):
    """Let Django itself answer who asks for ``default``, as outside of tests."""
    default = connections["default"]
    for name in ("connect", "cursor"):
        monkeypatch.setattr(default, name, getattr(default, name).wrapped)


class TestDjango:
    def test_no_false_alarm(self):
        """Neither without databases named, nor with all of them."""
        assert "no issues" in called("check", fail_level="WARNING")
        assert "no issues" in called("check", databases=ALIASES, fail_level="WARNING")

    @pytest.mark.parametrize("alias", ALIASES)
    def test_migrate_keeps_tables_where_they_live(self, alias):
        assert "No migrations to apply." in called("migrate", database=alias)
        assert not [name for name in tables(alias) if not name.startswith(TABLES[alias])]
        for beginning in TABLES[alias]:
            assert [name for name in tables(alias) if name.startswith(beginning)], beginning

    def test_migrate_wants_a_database_to_be_named(self, unguarded):
        with pytest.raises(ImproperlyConfigured, match="Please supply the ENGINE value"):
            called("migrate")

    def test_makemigrations_and_its_kin(self):
        assert "No changes detected" in called("makemigrations", check_changes=True)
        assert "[X] 0002_first_product" in called(
            "showmigrations", "shop", database="customers", no_color=True
        )

    def test_what_migrate_makes_beside(self):
        """Content types and permissions of every model are where users are, and not elsewhere."""
        of_orders = {"app_label": "shop", "model": "order"}
        assert ContentType.objects.get(**of_orders)._state.db == "users"
        assert Permission.objects.filter(content_type__model="order").count() == 4
        assert "django_content_type" not in tables("customers")
        assert "auth_permission" not in tables("customers")

    def test_inspectdb(self):
        found = called("inspectdb", "shop_order", database="customers")
        assert "class ShopOrder(models.Model):" in found
        # There is no constraint to tell of.
        assert "customer_id = models." in found
        assert "product = models.ForeignKey(" in found

    def test_dumpdata_and_loaddata(self, fred, order, tmp_path):
        dumps = {}
        for alias, labels in {"users": ["auth.user"], "customers": ["shop"]}.items():
            dumps[alias] = tmp_path / f"{alias}.json"
            dumps[alias].write_text(
                called("dumpdata", *labels, database=alias, use_natural_foreign_keys=True)
            )
        rows = json.loads(dumps["customers"].read_text())
        (fields,) = [row["fields"] for row in rows if row["model"] == "shop.order"]
        assert fields["customer"] == ["fred"]
        Order.objects.all().delete()
        Product.objects.all().delete()
        fred.delete()
        for alias, dump in dumps.items():
            called("loaddata", str(dump), database=alias)
        assert Order.objects.get().customer == User.objects.get(username="fred")

    def test_createcachetable(self):
        """Test databases have it already; it is made where the router lets it be."""
        cache.set("tea", "hot")
        assert cache.get("tea") == "hot"
        assert [alias for alias in ALIASES if "shop_cache" in tables(alias)] == ["customers"]
        assert called("createcachetable", database="users") == ""
        assert "already exists" in called("createcachetable", database="customers")

    @pytest.mark.parametrize("alias", ["users", "legacy_users"])
    def test_createsuperuser_and_changepassword(self, unguarded, monkeypatch, alias):
        called("createsuperuser", username="boss", email="", interactive=False, database=alias)
        monkeypatch.setattr(changepassword.Command, "_get_pass", lambda *args: "a-Long-1")
        called("changepassword", "boss", database=alias)
        boss = User.objects.using(alias).get()
        assert boss.is_superuser
        assert boss.check_password("a-Long-1")

    @pytest.mark.django_db(databases=ALIASES, transaction=True)
    def test_flush(self, order):
        called("flush", database="users", interactive=False)
        assert not User.objects.exists()
        assert Order.objects.get().customer_id is not None
        assert ContentType.objects.filter(model="order").exists()


class TestXdbrel:
    def test_migrate(self):
        err = io.StringIO()
        call_command("xdbrel_migrate", check_unapplied=True, stdout=io.StringIO(), stderr=err)
        assert "default: left out, it names no database." in err.getvalue()
        assert "customers: database 3 of 3." in err.getvalue()

    def test_relations(self):
        every = json.loads(called("xdbrel_relations", format="json"))
        found = {one["handle"]: one for one in every}
        own = {"press.Book.editor", "shop.Account.user", "shop.Order.customer"}
        assert own < set(found)
        assert {(found[one]["source_home"], found[one]["target_home"]) for one in own} == {
            ("customers", "users")
        }

    def test_scan_repair_restore(self, fred, order):
        with connections["users"].cursor() as cursor:
            cursor.execute("DELETE FROM auth_user WHERE id = %s", [fred.pk])
        scanned = json.loads(called("xdbrel_scan", "shop.Order.customer", format="json"))
        assert [one["orphans"] for one in scanned] == [1]
        assert ScanRun.objects.get()._state.db == "customers"
        called("xdbrel_repair", "shop.Order.customer", policy="quarantine")
        assert not Order.objects.exists()
        called("xdbrel_restore", "shop.Order.customer", without_targets=True)
        assert Order.objects.get().customer_id == fred.pk
        with pytest.raises(SystemExit):
            called("xdbrel_status")

    def test_relay_and_prune(self, fred, order):
        CascadeIntent.objects.using("users").create(
            relation="shop.Order.customer", source_alias="customers", keys=[order.customer_id + 1]
        )
        assert "shop.Order.customer" in called("xdbrel_relay", status=True)
        called("xdbrel_relay", once=True)
        (intent,) = CascadeIntent.objects.using("users")
        assert intent.status == "applied"
        assert Order.objects.exists()
        assert "Would delete 0 finished intents in users." in called(
            "xdbrel_prune", dry_run=True, older_than=0
        )

    @pytest.mark.django_db(databases=ALIASES, transaction=True)
    def test_triggers(self, settings, fred, order):
        settings.XDBREL = {**settings.XDBREL, "CAPTURE": "triggers"}
        called("xdbrel_triggers", "install")
        try:
            assert "current" in called("xdbrel_triggers", "check")
            with connections["users"].cursor() as cursor:
                cursor.execute("DELETE FROM auth_user WHERE id = %s", [fred.pk])
            called("xdbrel_relay", once=True)
            assert not Order.objects.exists()
        finally:
            called("xdbrel_triggers", "remove")
