"""Models whose queries span databases, for ``tests/oracle``.

Homes: Country, Author and Reading in ``default``; Post, Comment and Club in ``blog``; Order,
Profile and Membership in ``shop``. All of them stand in the database ``whole`` too, where Django
itself can join them.

Deleting leaves alone whatever crosses (``DO_NOTHING``): what is compared is which rows a
query finds. Every field has a default, so that a row is written by what matters of it.
"""

from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBManyToManyField, CrossDBOneToOneField


class Country(models.Model):
    name = models.CharField(max_length=10, default="")
    size = models.IntegerField(default=0)
    rank = models.IntegerField(null=True)
    founded = models.DateField(null=True)


class Author(models.Model):
    name = models.CharField(max_length=10, default="")
    country = models.ForeignKey(
        Country, on_delete=models.SET_NULL, null=True, related_name="authors"
    )
    mentor = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="pupils")
    age = models.IntegerField(null=True)
    score = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    active = models.BooleanField(default=False)
    born = models.DateField(null=True)
    joined = models.DateTimeField(null=True)
    #: The rows in between are beside the authors.
    read = CrossDBManyToManyField("Post", through="Reading", related_name="readers")


class Post(models.Model):
    title = models.CharField(max_length=10, default="")
    body = models.TextField(null=True)
    author = CrossDBForeignKey(Author, on_delete=models.DO_NOTHING, related_name="posts")
    editor = CrossDBForeignKey(
        Author, on_delete=models.DO_NOTHING, null=True, related_name="edited"
    )
    words = models.IntegerField(default=0)
    stars = models.IntegerField(null=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    public = models.BooleanField(default=False)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)


class Comment(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    author = CrossDBForeignKey(
        Author, on_delete=models.DO_NOTHING, null=True, related_name="comments"
    )
    text = models.CharField(max_length=10, default="")
    likes = models.IntegerField(default=0)
    shown = models.BooleanField(null=True)


class Order(models.Model):
    author = CrossDBForeignKey(Author, on_delete=models.DO_NOTHING, related_name="orders")
    post = CrossDBForeignKey(Post, on_delete=models.DO_NOTHING, null=True, related_name="orders")
    amount = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    number = models.IntegerField(default=0)
    paid = models.BooleanField(default=False)
    at = models.DateTimeField(null=True)


class Profile(models.Model):
    author = CrossDBOneToOneField(Author, on_delete=models.DO_NOTHING, related_name="profile")
    bio = models.CharField(max_length=10, default="")
    level = models.IntegerField(null=True)


class Club(models.Model):
    """Its key is a text."""

    code = models.CharField(max_length=5, primary_key=True)
    name = models.CharField(max_length=10, default="")
    seats = models.IntegerField(default=0)
    since = models.DateField(null=True)
    #: The rows in between are in a third database.
    members = CrossDBManyToManyField(Author, through="Membership", related_name="clubs")


class Membership(models.Model):
    """Stands between two models of two other databases."""

    author = CrossDBForeignKey(Author, on_delete=models.DO_NOTHING, related_name="memberships")
    club = CrossDBForeignKey(Club, on_delete=models.DO_NOTHING, related_name="memberships")
    level = models.IntegerField(null=True)
    since = models.DateField(null=True)


class Reading(models.Model):
    author = CrossDBForeignKey(Author, on_delete=models.DO_NOTHING, related_name="readings")
    post = CrossDBForeignKey(Post, on_delete=models.DO_NOTHING, related_name="readings")
    pages = models.IntegerField(default=0)
    day = models.DateField(null=True)
