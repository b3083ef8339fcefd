"""The admin's delete page and action: everything that would go, in every database."""

import pytest
from django.contrib import admin
from django.contrib.admin.utils import NestedObjects
from django.contrib.auth.models import User
from django.urls import path

from tests.apps.blog.models import Comment, Post
from tests.apps.knots.models import Concert
from tests.apps.shop.models import Invoice, Order, Profile, Review
from xdbrel.models import CascadeIntent

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.urls("tests.integration.cascade.test_admin_pages"),
]

site = admin.AdminSite()
site.register([User, Post, Comment, Order, Review, Profile, Invoice])

urlpatterns = [path("admin/", site.urls)]


@pytest.fixture
def ada():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="one", author=user)
    Comment.objects.create(post=post, author=user)
    Order.objects.create(customer=user)
    Review.objects.create(post=post)
    Profile.objects.create(user=user)
    return user


def nested(user):
    collector = NestedObjects(using="default", origin=user)
    collector.collect([user])
    return collector


def test_the_tree_grows_over_every_database(ada):
    collector = nested(ada)
    post = Post.objects.get()
    assert {model: len(objs) for model, objs in collector.model_objs.items() if objs} == {
        User: 1,
        Post: 1,
        Comment: 1,
        Order: 1,
        Review: 1,
        Profile: 1,
    }
    tree = collector.nested()
    assert tree[0] == ada
    below = tree[1]
    assert post in below
    under_the_post = below[below.index(post) + 1]
    assert set(under_the_post) == {*Comment.objects.all(), *Review.objects.all()}
    assert {*Order.objects.all(), *Profile.objects.all()} <= {
        entry for entry in below if not isinstance(entry, list)
    }


def test_building_the_tree_deletes_and_writes_nothing(ada):
    nested(ada)
    assert User.objects.count() == Post.objects.count() == Review.objects.count() == 1
    assert not CascadeIntent.objects.exists()


def test_what_protects_in_another_database_is_shown(ada):
    invoice = Invoice.objects.create(customer=ada)
    assert nested(ada).protected == {invoice}


def test_what_restricts_in_another_database_is_shown():
    from tests.apps.knots.models import Artist

    artist = Artist.objects.create()
    concert = Concert.objects.create(artist=artist)
    collector = NestedObjects(using="default", origin=artist)
    collector.collect([artist])
    assert collector.protected == {concert}


def test_the_delete_page_lists_everything(ada, admin_client):
    response = admin_client.get(f"/admin/auth/user/{ada.pk}/delete/")
    page = response.content.decode()
    assert response.status_code == 200
    for label in ("Posts: 1", "Comments: 1", "Orders: 1", "Reviews: 1", "Profiles: 1"):
        assert label in page


def test_confirming_deletes_everything(ada, admin_client):
    key = ada.pk
    response = admin_client.post(f"/admin/auth/user/{key}/delete/", {"post": "yes"})
    assert response.status_code == 302
    assert not User.objects.filter(pk=key).exists()
    assert not Post.objects.exists()
    assert not Profile.objects.exists()


def test_the_delete_action_lists_and_deletes_everything(ada, admin_client):
    data = {"action": "delete_selected", "_selected_action": [ada.pk]}
    page = admin_client.post("/admin/auth/user/", data).content.decode()
    for label in ("Posts: 1", "Orders: 1", "Reviews: 1"):
        assert label in page
    admin_client.post("/admin/auth/user/", {**data, "post": "yes"})
    assert not Order.objects.exists()
    assert not Post.objects.exists()


def test_the_delete_page_shows_what_protects(ada, admin_client):
    Invoice.objects.create(customer=ada)
    page = admin_client.get(f"/admin/auth/user/{ada.pk}/delete/").content.decode()
    assert "would require deleting the following protected related objects" in page
    assert "Invoice object" in page
    admin_client.post(f"/admin/auth/user/{ada.pk}/delete/", {"post": "yes"})
    assert User.objects.filter(pk=ada.pk).exists()
