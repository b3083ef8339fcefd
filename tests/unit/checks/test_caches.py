"""Checks of what django-cachalot does not learn of: xdbrel.W056 to xdbrel.W058."""

import django
import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.checks import Warning
from django.db import models

from xdbrel import CrossDBForeignKey
from xdbrel.checks import caches


@pytest.fixture(autouse=True)
def cachalot(monkeypatch):
    """django-cachalot counts as installed; nothing of it is loaded."""
    known = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "cachalot" or known(name))


def ids(found):
    return [message.id for message in found]


class TestReplicas:
    @pytest.fixture(autouse=True)
    def replica(self, aliases, settings):
        aliases.define("replica")
        settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"replica": "blog"}}

    def test_w056_cached(self):
        """By default, cachalot caches every alias."""
        assert caches.check_replicas() == [
            Warning(
                "django-cachalot caches what is read from 'replica', a replica of 'blog', and "
                "sees no write to it: its answers stay as they were first.",
                hint="Leave 'replica' out of CACHALOT_DATABASES.",
                id="xdbrel.W056",
            )
        ]

    def test_w056_left_out(self, settings):
        """What the hint says is enough."""
        settings.CACHALOT_DATABASES = ["default", "blog"]
        assert caches.check_replicas() == []

    def test_w056_switched_off(self, settings):
        settings.CACHALOT_ENABLED = False
        assert caches.check_replicas() == []


class TestRawWrites:
    @pytest.fixture
    def found(self, blog_models):
        class Legacy(models.Model):
            author = CrossDBForeignKey(User, models.CASCADE, related_name="+")

            class Meta:
                app_label = "blog"
                managed = False

        return lambda: caches.check_raw_writes(app_configs=blog_models.get_app_configs())

    def test_w057_unmanaged(self, found):
        """cachalot looks in raw SQL for the names of tables that Django migrates."""
        assert found() == [
            Warning(
                "django-cachalot does not look in raw SQL for the tables of blog.Legacy, which "
                "Django does not migrate in their homes: what raw SQL changes there stays cached.",
                hint="Name them in CACHALOT_ADDITIONAL_TABLES: blog_legacy.",
                id="xdbrel.W057",
            )
        ]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CACHALOT_ADDITIONAL_TABLES", ["blog_legacy"]),
            ("CACHALOT_UNCACHABLE_TABLES", ["blog_legacy"]),
            ("CACHALOT_UNCACHABLE_APPS", ["blog"]),
            ("CACHALOT_ONLY_CACHABLE_APPS", ["auth"]),
            ("CACHALOT_INVALIDATE_RAW", False),
            ("CACHALOT_DATABASES", ["default"]),
        ],
    )
    def test_w057_seen_to(self, found, settings, name, value):
        setattr(settings, name, value)
        assert found() == []

    def test_w057_kept_off_its_home(self, settings):
        """A router that says where rows are, and lets nothing be migrated there."""
        assert ids(caches.check_raw_writes(app_configs=[apps.get_app_config("blog")])) == []
        settings.DATABASE_ROUTERS = [f"{__name__}.Aloof", *settings.DATABASE_ROUTERS]
        (message,) = caches.check_raw_writes(app_configs=[apps.get_app_config("blog")])
        assert message.id == "xdbrel.W057"
        assert "blog.Article" in message.msg


class Aloof:
    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return False if db == "blog" and app_label == "blog" else None


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django: 6.1 has cascades of the database's")
class TestDatabaseCascades:
    @pytest.fixture
    def model(self, blog_models):
        class Parent(models.Model):
            class Meta:
                app_label = "blog"

        class Child(models.Model):
            parent = models.ForeignKey(Parent, models.DB_CASCADE)

            class Meta:
                app_label = "blog"

        return Child

    def test_w058_cascade(self, model, blog_models):
        """cachalot sees the delete of the parent alone."""
        assert caches.check_database_cascades(app_configs=blog_models.get_app_configs()) == [
            Warning(
                "django-cachalot does not see the rows of blog.Child that 'blog' changes by "
                "itself when what 'parent' refers to is deleted.",
                hint="Let Django do it (CASCADE, SET_NULL, SET_DEFAULT), or add 'blog_child' to "
                "CACHALOT_UNCACHABLE_TABLES.",
                obj=model._meta.get_field("parent"),
                id="xdbrel.W058",
            )
        ]

    def test_w058_table_left_out(self, model, blog_models, settings):
        settings.CACHALOT_UNCACHABLE_TABLES = ["blog_child"]
        assert caches.check_database_cascades(app_configs=blog_models.get_app_configs()) == []
