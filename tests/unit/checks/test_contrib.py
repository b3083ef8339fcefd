"""Checks of Django's own apps and of generic relations: xdbrel.E040 to xdbrel.E044."""

import json
import os
import subprocess
import sys
from pathlib import Path

from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.checks import Error, Warning
from django.db import models

from tests.apps.blog.models import Tag
from xdbrel import CrossDBForeignKey
from xdbrel.checks import contrib, homes

HOMES = {"blog": "blog", "shop": "shop"}


def found_by(check, registry):
    """What a check finds among the models that the test defines."""
    return check(app_configs=registry.get_app_configs())


def test_e040_auth_without_content_types(settings):
    """Permissions are linked to content types; said here and not as a plain relation."""
    settings.XDBREL = {"HOMES": {**HOMES, "contenttypes": "shop", "admin": "shop"}}
    found = [message for message in contrib.check_contrib_apps() if message.id == "xdbrel.E040"]
    assert found == [
        Error(
            "auth.Permission lives in 'default' and contenttypes.ContentType in 'shop'. Users, "
            "groups and permissions are linked to content types, within one database.",
            hint='Give auth and contenttypes one home in XDBREL["HOMES"].',
            obj=Permission,
            id="xdbrel.E040",
        )
    ]
    assert not [m for m in homes.check_plain_relations() if "auth.Permission" in m.msg]


def test_e040_auth_torn_apart(settings):
    """Users and groups belong together; a pair of models is named once."""
    settings.XDBREL = {"HOMES": {**HOMES, "auth.Group": "shop"}}
    found = {message.obj: message.msg for message in contrib.check_contrib_apps()}
    assert set(found) == {User, Group}
    assert found[User].startswith("auth.User lives in 'default' and auth.Group in 'shop'.")


def test_e041_admin(settings):
    """The admin's log is linked to users and content types."""
    settings.XDBREL = {"HOMES": {**HOMES, "admin": "shop"}}
    found = contrib.check_contrib_apps()
    assert [(message.id, message.hint) for message in found] == [
        (
            "xdbrel.E041",
            'Give admin and auth one home in XDBREL["HOMES"], or name '
            "'admin.LogEntry.user' in XDBREL[\"ADOPT\"].",
        ),
        (
            "xdbrel.E041",
            'Give admin and contenttypes one home in XDBREL["HOMES"], or name '
            "'admin.LogEntry.content_type' in XDBREL[\"ADOPT\"].",
        ),
    ]
    assert found[0].msg == (
        "admin.LogEntry lives in 'shop' and auth.User in 'default'. The admin's log is linked to "
        "users and content types, within one database."
    )


def test_all_of_them_elsewhere(settings):
    """Together they may live in any database."""
    settings.XDBREL = {
        "HOMES": {**HOMES, **dict.fromkeys(["auth", "contenttypes", "admin"], "shop")}
    }
    assert contrib.check_contrib_apps() == []


WITH_SITES = """
import json
from django.conf import settings

sites = ["django.contrib.sites", "django.contrib.flatpages", "django.contrib.redirects"]
settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, *sites]
settings.XDBREL = {"HOMES": {**settings.XDBREL["HOMES"], **dict.fromkeys(%r, "shop")}}
import django
django.setup()
from django.core import checks
print(json.dumps([[m.id, m.msg, m.hint] for m in checks.run_checks(tags=["xdbrel"])]))
"""


def with_sites(*apps_in_shop):
    """What is found in a project of its own, with sites and the apps that depend on them."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_SITES % (apps_in_shop,)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_e042_sites():
    """Flat pages and redirects are linked to sites."""
    assert with_sites("redirects", "flatpages") == [
        [
            "xdbrel.E042",
            "flatpages.FlatPage lives in 'shop' and sites.Site in 'default'. Flat pages are "
            "linked to sites, within one database.",
            'Give flatpages and sites one home in XDBREL["HOMES"], or name '
            "'flatpages.FlatPage.sites' in XDBREL[\"ADOPT\"].",
        ],
        [
            "xdbrel.E042",
            "redirects.Redirect lives in 'shop' and sites.Site in 'default'. Redirects are "
            "linked to sites, within one database.",
            'Give redirects and sites one home in XDBREL["HOMES"], or name '
            "'redirects.Redirect.site' in XDBREL[\"ADOPT\"].",
        ],
    ]


def test_e042_together():
    """The three of them may live in any database."""
    assert with_sites("redirects", "flatpages", "sites") == []


class ContentTypesEverywhere:
    """Content types may be in every database, and are read from default."""

    def db_for_read(self, model, **hints):
        return "default" if model is ContentType else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return True if app_label == "contenttypes" else None


def tagged(field=None):
    """A model of the app blog with a generic foreign key."""

    class Tagged(models.Model):
        content_type = CrossDBForeignKey(ContentType, models.CASCADE, related_name="+")
        object_id = models.PositiveIntegerField()
        tagged = GenericForeignKey()

        class Meta:
            app_label = "blog"

    return Tagged


def test_w043_content_types_in_several_databases(blog_models, settings):
    """The same model's content type may have another key in each database."""
    settings.DATABASE_ROUTERS = [ContentTypesEverywhere(), "xdbrel.routers.HomeRouter"]
    model = tagged()
    assert found_by(contrib.check_generic_relations, blog_models) == [
        Warning(
            "blog.Tagged.tagged in 'blog' names content types by their key there, and they are "
            "in 'default' too: the same model may have another key in each.",
            hint="Keep content types in one database, and the models with generic relations "
            "beside them, name 'blog.Tagged.tagged' in XDBREL[\"ADOPT\"] if the app is not yours, "
            "or declare CrossDBGenericForeignKey and CrossDBGenericRelation.",
            obj=model._meta.get_field("tagged"),
            id="xdbrel.W043",
        )
    ]


def test_e044_generic_foreign_key(blog_models):
    """A generic foreign key looks for content types in its own database."""
    model = tagged()
    assert found_by(contrib.check_generic_relations, blog_models) == [
        Error(
            "blog.Tagged.tagged looks for content types in 'blog', and they are in 'default'.",
            hint="Give blog.Tagged the home 'default', name 'blog.Tagged.tagged' in "
            'XDBREL["ADOPT"] if the app is not yours, or declare CrossDBGenericForeignKey and '
            "CrossDBGenericRelation.",
            obj=model._meta.get_field("tagged"),
            id="xdbrel.E044",
        )
    ]


def test_e044_generic_relation(blog_models, settings):
    """A generic relation reads its objects from its own database."""
    settings.XDBREL = {"HOMES": {**HOMES, "blog.Labelled": "default"}}
    model = tagged()

    class Labelled(models.Model):
        tags = GenericRelation(model)

        class Meta:
            app_label = "blog"

    found = [
        m for m in found_by(contrib.check_generic_relations, blog_models) if "Labelled" in m.msg
    ]
    assert found == [
        Error(
            "blog.Labelled.tags is a generic relation from 'default' to blog.Tagged in 'blog'.",
            hint="Give both models one home, name 'blog.Tagged.tagged' in XDBREL[\"ADOPT\"] if "
            "the app is not yours, or declare CrossDBGenericForeignKey and "
            "CrossDBGenericRelation.",
            obj=Labelled._meta.get_field("tags"),
            id="xdbrel.E044",
        )
    ]


def test_generic_relations_beside_content_types(blog_models, settings):
    """Where the content types are, generic relations are as Django made them."""
    settings.XDBREL = {"HOMES": {}}
    model = tagged()

    class Labelled(models.Model):
        tags = GenericRelation(model)
        tag = models.ForeignKey(Tag, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert found_by(contrib.check_generic_relations, blog_models) == []
