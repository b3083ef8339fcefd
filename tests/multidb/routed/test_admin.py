"""Login, sessions, permissions and the admin's log, with users in a database of their own.

The log is a table of the primary, and its ForeignKeys to users and content types are those of
Django's own app: ``XDBREL["ADOPT"]`` lets them cross.
"""

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client

import xdbrel
from tests.multidb.routed.library.models import Book
from tests.multidb.routed.test_example import ALIASES

pytestmark = pytest.mark.django_db(databases=ALIASES, transaction=True)


def logged_in(username):
    """A browser after the admin's own login form."""
    client = Client()
    answer = client.post(
        "/admin/login/?next=/admin/", {"username": username, "password": "fish"}, follow=True
    )
    assert answer.redirect_chain == [("/admin/", 302)]
    return client


def test_login_and_session(boss):
    client = logged_in("boss")
    assert Session.objects.get().get_decoded()["_auth_user_id"] == str(boss.pk)
    assert User.objects.get().last_login is not None
    client.post("/admin/logout/")
    assert not Session.objects.exists()


def test_permissions(boss, fred, mh):
    """Permissions and content types stand beside the users, of every model."""
    view = Permission.objects.get(content_type__app_label="library", codename="view_book")
    assert view.content_type == ContentType.objects.get_for_model(Book)
    assert view.content_type._state.db == "auth_db"
    User.objects.filter(pk=fred.pk).update(is_staff=True)
    client = logged_in("fred")
    assert client.get(f"/admin/library/book/{mh.pk}/change/").status_code == 403
    group = Group.objects.create(name="readers")
    group.permissions.add(view)
    fred.groups.add(group)
    assert User.objects.get(pk=fred.pk).has_perm("library.view_book")
    assert client.get(f"/admin/library/book/{mh.pk}/change/").status_code == 200
    assert client.post(f"/admin/library/book/{mh.pk}/delete/").status_code == 403


def test_the_log(boss, fred, dna):
    client = logged_in("boss")
    answer = client.post(
        "/admin/library/book/add/",
        {"title": "Mostly Harmless", "lent_to": fred.pk, "translators": [dna.pk]},
    )
    assert answer.status_code == 302
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_repr) == (ADDITION, "Mostly Harmless")
    assert entry.user == boss
    assert entry.content_type == ContentType.objects.get_for_model(Book)
    assert entry.get_edited_object() == Book.objects.get()
    # "Recent actions" and an object's history select users and content types beside.
    assert b"Mostly Harmless" in client.get("/admin/").content
    history = client.get(f"/admin/library/book/{entry.object_id}/history/")
    assert b"boss" in history.content
    assert LogEntry.objects.get(user__username="boss", content_type__model="book") == entry
    assert User.objects.get(logentry__object_repr="Mostly Harmless") == boss
    assert list(boss.logentry_set.all()) == [entry]


def test_a_change_of_a_user_is_logged(boss, fred):
    client = logged_in("boss")
    answer = client.post(
        f"/admin/auth/user/{fred.pk}/password/",
        {"password1": "a-Long-1", "password2": "a-Long-1", "usable_password": "true"},
    )
    assert answer.status_code == 302
    assert LogEntry.objects.get().get_edited_object() == fred


def test_a_user_is_deleted_with_what_hangs_on_it(boss, fred, mh):
    """The page that asks first shows the log of another database, and what follows goes there."""
    content_type = ContentType.objects.get_for_model(Book)
    LogEntry.objects.create(
        user=fred, content_type=content_type, object_id=mh.pk, action_flag=ADDITION
    )
    client = logged_in("boss")
    page = f"/admin/auth/user/{fred.pk}/delete/"
    assert b"Log entries: 1" in client.get(page).content.replace(b"</td><td>", b": ")
    assert xdbrel.plan_delete(fred).counts == {
        "auth_db": {"auth.User": 1},
        "primary": {"admin.LogEntry": 1},
    }
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="fred").exists()
    # What is left is the log of the delete itself.
    assert LogEntry.objects.get().user == boss
    assert Book.objects.get().lent_to is None


def test_the_log_has_no_constraint_towards_another_database():
    """PostgreSQL and MariaDB would have refused the table, SQLite every row."""
    connection = connections["primary"]
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, LogEntry._meta.db_table)
    assert [name for name, one in found.items() if one["foreign_key"]] == []
