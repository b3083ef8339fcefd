"""What other people's packages do, with their rows and what these are about in two databases."""

import io

import pytest
import reversion
from django.contrib.auth.models import Group, User
from django.core.checks import run_checks
from django.core.management import call_command
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import (
    assign_perm,
    get_objects_for_user,
    get_users_with_perms,
    remove_perm,
)
from reversion.models import Revision, Version
from taggit.models import Tag, TaggedItem

from tests.multidb.packages.magazine.models import Article, Painting, Study, Work

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    # Theirs, which is told for Django's next version but one.
    pytest.mark.filterwarnings("ignore:SQLCompiler.quote_name_unless_alias"),
]

CHANGE = "magazine.change_article"


@pytest.fixture(autouse=True)
def permissions():
    """A flush of the databases leaves none."""
    call_command("migrate", database="default", verbosity=0)


@pytest.fixture
def ada():
    return User.objects.create_superuser("ada")


@pytest.fixture
def bob():
    return User.objects.create_user("bob")


@pytest.fixture
def article(ada):
    # Not the key of a user.
    Article.objects.create(title="none", author=ada).delete()
    return Article.objects.create(title="tea", author=ada)


def test_nothing_is_left_to_say():
    found = run_checks(databases=["default", "content"])
    assert [message for message in found if message.id.startswith("xdbrel.E")] == []
    call_command("makemigrations", "magazine", dry_run=True, stdout=io.StringIO())
    for app in ("taggit", "guardian", "reversion"):
        call_command("makemigrations", app, check_changes=True, stdout=io.StringIO())


def test_taggit(article, ada):
    article.tags.add("red", "blue")
    assert list(article.tags.names()) == ["red", "blue"]
    assert list(Article.objects.filter(tags__name="red", author__username="ada")) == [article]
    (found,) = Article.objects.prefetch_related("tags", "author")
    assert [tag.name for tag in found.tags.all()] == ["red", "blue"]
    assert {item.content_object for item in TaggedItem.objects.all()} == {article}
    assert Article.tags.most_common()[0].num_times == 1
    other = Article.objects.create(title="milk", author=ada)
    other.tags.set(["blue"])
    assert article.tags.similar_objects() == [other]
    article.delete()
    assert [item.tag.name for item in TaggedItem.objects.all()] == ["blue"]
    assert Tag.objects.count() == 2


def test_guardian(article, bob):
    assign_perm(CHANGE, bob, article)
    assert User.objects.get(pk=bob.pk).has_perm(CHANGE, article)
    assert list(get_objects_for_user(bob, CHANGE)) == [article]
    assert list(get_users_with_perms(article)) == [bob]
    remove_perm(CHANGE, bob, article)
    assert not User.objects.get(pk=bob.pk).has_perm(CHANGE, article)


def test_guardian_of_groups(article, bob):
    group = Group.objects.create(name="editors")
    bob.groups.add(group)
    assign_perm(CHANGE, group, article)
    assert User.objects.get(pk=bob.pk).has_perm(CHANGE, article)
    assert list(get_objects_for_user(bob, CHANGE)) == [article]
    group.delete()
    assert not GroupObjectPermission.objects.exists()
    assert not User.objects.get(pk=bob.pk).has_perm(CHANGE, article)


def test_what_guardian_keeps_goes_with_its_user(article, bob):
    assign_perm(CHANGE, bob, article)
    bob.delete()
    assert not UserObjectPermission.objects.exists()


def test_simple_history(article, ada, bob, client):
    client.force_login(ada, "django.contrib.auth.backends.ModelBackend")
    data = {"title": "coffee", "author": bob.pk, "editors": [ada.pk], "tags": "black"}
    response = client.post(f"/admin/magazine/article/{article.pk}/change/", data)
    assert (response.status_code, response.headers["location"]) == (
        302,
        "/admin/magazine/article/",
    )
    article.refresh_from_db()
    assert (article.title, article.author, list(article.editors.all())) == ("coffee", bob, [ada])
    latest, first = article.history.all()
    assert (latest.title, latest.author, latest.history_user) == ("coffee", bob, ada)
    assert (first.title, first.author, first.history_user) == ("tea", ada, None)
    assert latest.diff_against(first).changed_fields == ["author", "title"]
    assert list(Article.history.filter(history_user__username="ada")) == [latest]
    ada.delete()
    assert Article.history.get(pk=latest.pk).history_user is None


def test_reversion(article, ada):
    with reversion.create_revision(using="content"):
        article.title = "coffee"
        article.save()
        reversion.set_user(ada)
    (version,) = Version.objects.get_for_object(article)
    assert version.revision.user == ada
    assert version.object == article
    assert version.field_dict["title"] == "coffee"
    Article.objects.update(title="milk")
    version.revert()
    article.refresh_from_db()
    assert article.title == "coffee"
    assert list(Revision.objects.filter(user__username="ada")) == [version.revision]


def test_polymorphic(ada, bob):
    painting = Painting.objects.create(topic="sea", colour="blue", owner=ada)
    study = Study.objects.create(topic="salt", mentor=bob, owner=ada)
    assert list(Work.objects.order_by("pk")) == [painting, study]
    assert list(ada.works.order_by("pk")) == [painting, study]
    assert list(Work.objects.instance_of(Painting)) == [painting]
    assert list(Work.objects.filter(Study___mentor__username="bob")) == [study]
    assert list(Work.objects.filter(owner__username="ada").order_by("-pk")) == [study, painting]
    bob.delete()
    assert list(Work.objects.all()) == [painting]
    ada.delete()
    assert Work.objects.get().owner is None


@pytest.mark.parametrize(
    "path",
    [
        "article/",
        "article/?q=ad",
        "article/?q=red",
        "article/?author__id__exact={user}",
        "article/{article}/change/",
        "article/{article}/history/",
        "article/{article}/permissions/",
        "article/{article}/delete/",
        "work/",
        "work/?owner__id__exact={user}",
    ],
)
def test_admin(article, ada, client, path):
    article.tags.add("red")
    Painting.objects.create(topic="sea", colour="blue", owner=ada)
    client.force_login(ada, "django.contrib.auth.backends.ModelBackend")
    path = path.format(user=ada.pk, article=article.pk)
    response = client.get(f"/admin/magazine/{path}")
    assert response.status_code == 200
    assert "tea" in response.text or "sea" in response.text
