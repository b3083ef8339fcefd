import pytest
from django.contrib.auth.models import User

from tests.apps.blog.models import Comment, Post
from tests.apps.shop.models import Order, Profile, Review

MODELS = (User, Post, Comment, Order, Review, Profile)


@pytest.fixture
def ada():
    """A user with sources in two other databases, and one more of a source there."""
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="one", author=user)
    Comment.objects.create(post=post, author=user)
    Order.objects.create(customer=user)
    Review.objects.create(post=post)
    Profile.objects.create(user=user)
    return user


def left():
    """Return the rows that are left of what ``ada`` made."""
    found = {model.__name__: model.objects.count() for model in MODELS}
    return {name: number for name, number in found.items() if number}
