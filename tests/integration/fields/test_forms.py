"""Model forms and full_clean(): the target is looked for in its home."""

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connections
from django.forms import modelform_factory

from tests.apps.blog.models import Desk, Letter, Post, Signature
from tests.apps.people.models import Person

pytestmark = pytest.mark.django_db(databases="__all__")

MISSING = 987654


def test_a_form_offers_and_saves_targets_of_another_database():
    user = User.objects.create(username="ada")
    form = modelform_factory(Post, fields=["title", "author", "editor"])
    assert f'<option value="{user.pk}">ada</option>' in str(form()["author"])
    bound = form({"title": "x", "author": str(user.pk), "editor": ""})
    assert bound.is_valid(), bound.errors
    post = bound.save()
    assert post.author == user
    assert post._state.db == "blog"


def test_a_form_refuses_a_missing_target():
    form = modelform_factory(Post, fields=["title", "author"])
    bound = form({"title": "x", "author": str(MISSING)})
    assert bound.errors == {
        "author": ["Select a valid choice. That choice is not one of the available choices."]
    }


def test_a_form_edits_a_row_whose_key_dangles():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author_id=MISSING)
    form = modelform_factory(Post, fields=["title", "author"])
    assert form(instance=post).initial["author"] == MISSING
    bound = form({"title": "y", "author": str(user.pk)}, instance=post)
    bound.save()
    assert Post.objects.get().author == user


def test_limit_choices_to():
    seen = Person.objects.create(name="seen")
    hidden = Person.objects.create(name="hidden", hidden=True)
    form = modelform_factory(Letter, fields=["recipient", "subject"])
    assert list(form().fields["recipient"].queryset) == [seen]
    assert not form({"recipient": str(hidden.pk), "subject": "x"}).is_valid()
    with pytest.raises(ValidationError) as caught:
        Letter(recipient=hidden, subject="x").full_clean(exclude=["sender"])
    assert caught.value.message_dict == {
        "recipient": [f"person instance with id {hidden.pk} is not a valid choice."]
    }


def test_full_clean_finds_the_target_in_its_home(django_assert_num_queries):
    user = User.objects.create(username="ada")
    post = Post(title="x", author=user)
    with django_assert_num_queries(1, connection=connections["default"]):
        post.full_clean()


def test_full_clean_names_a_missing_target():
    with pytest.raises(ValidationError) as caught:
        Post(title="x", author_id=MISSING).full_clean()
    (error,) = caught.value.error_dict["author"]
    assert error.code == "invalid"
    assert error.messages == [f"user instance with id {MISSING} is not a valid choice."]


def test_full_clean_keeps_one_to_one_unique():
    person = Person.objects.create(name="ada")
    Signature.objects.create(person=person)
    with pytest.raises(ValidationError) as caught:
        Signature(person=person, text="x").full_clean()
    assert caught.value.message_dict == {"person": ["Signature with this Person already exists."]}
    Desk.objects.create()
    Desk().full_clean(exclude=["owner", "lender"])


def test_full_clean_keeps_unique_constraints():
    person = Person.objects.create(name="ada")
    Letter.objects.create(recipient=person, subject="x")
    with pytest.raises(ValidationError) as caught:
        Letter(recipient=person, subject="x").full_clean(exclude=["sender"])
    assert caught.value.messages == ["Letter with this Recipient and Subject already exists."]


def test_validation_reads_the_primary_not_a_replica(settings):
    """A replica may not have the row yet."""
    user = User.objects.create(username="ada")
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"shop": "default"}}
    settings.DATABASE_ROUTERS = [
        "tests.integration.fields.routers_for_tests.ReadsUsersFromAReplica",
        *settings.DATABASE_ROUTERS,
    ]
    Post(title="x", author=user).full_clean()
