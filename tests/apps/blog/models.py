"""Sources at home in ``blog``: relations to ``default``, and plain ones inside."""

from django.conf import settings
from django.db import models

from xdbrel.fields import CrossDBForeignKey, CrossDBOneToOneField


class Tag(models.Model):
    name = models.CharField(max_length=50)


class Post(models.Model):
    title = models.CharField(max_length=100)
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="posts"
    )
    editor = CrossDBForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="edited_posts",
    )
    tags = models.ManyToManyField(Tag, related_name="posts")

    class Meta:
        ordering = ["id"]


class Comment(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="comments"
    )
    content = models.TextField(default="")


class Visit(models.Model):
    """One relation for each type of key."""

    country = CrossDBForeignKey(
        "people.Country", on_delete=models.CASCADE, null=True, related_name="visits"
    )
    device = CrossDBForeignKey(
        "people.Device", on_delete=models.CASCADE, null=True, related_name="visits"
    )
    badge = CrossDBForeignKey(
        "people.Badge",
        to_field="number",
        on_delete=models.CASCADE,
        null=True,
        related_name="visits",
    )
    member = CrossDBForeignKey(
        "people.Member", on_delete=models.CASCADE, null=True, related_name="visits"
    )


class Lenient(models.Model):
    """A relation whose dangling keys read as None."""

    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        dangling="none",
        related_name="lenient",
    )


class Strict(models.Model):
    """A relation whose keys are verified when they are written."""

    person = CrossDBForeignKey(
        "people.Person", on_delete=models.CASCADE, verify=True, null=True, related_name="strict"
    )


class Signature(models.Model):
    person = CrossDBOneToOneField(
        "people.Person", on_delete=models.CASCADE, related_name="signature"
    )
    text = models.CharField(max_length=50, default="")


class Seat(models.Model):
    """A verified, unique relation next to another unique key."""

    number = models.IntegerField(unique=True)
    person = CrossDBForeignKey(
        "people.Person", on_delete=models.CASCADE, verify=True, null=True, related_name="seats"
    )


class StrictChild(Strict):
    """A multi-table child of a model with a verified relation."""

    note = models.CharField(max_length=50, default="")


class Written(models.Model):
    """What has a writer: an abstract base."""

    writer = CrossDBForeignKey(
        "people.Person",
        on_delete=models.CASCADE,
        related_name="%(app_label)s_%(class)s_set",
        related_query_name="%(app_label)s_%(class)s",
    )

    class Meta:
        abstract = True


class Article(Written):
    title = models.CharField(max_length=50, default="")


class Essay(Article):
    """A multi-table child: the key is in its parent's table."""

    pages = models.IntegerField(default=1)


class EssayProxy(Essay):
    class Meta:
        proxy = True


class Letter(models.Model):
    """Default names at the other end, a restricted choice, keys in constraints."""

    recipient = CrossDBForeignKey(
        "people.Person", on_delete=models.CASCADE, limit_choices_to={"hidden": False}
    )
    sender = CrossDBForeignKey(
        "people.PersonProxy", on_delete=models.CASCADE, null=True, related_name="+"
    )
    subject = models.CharField(max_length=50, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recipient", "subject"], name="blog_letter_once")
        ]
        indexes = [models.Index(fields=["sender", "subject"], name="blog_letter_sender")]


class Branch(models.Model):
    parent = CrossDBForeignKey(
        "self", on_delete=models.CASCADE, null=True, related_name="children"
    )


class Desk(models.Model):
    """One-to-one relations of all kinds: that may be empty, that may dangle in silence."""

    owner = CrossDBOneToOneField(
        "people.Person", on_delete=models.SET_NULL, null=True, related_name="desk"
    )
    lender = CrossDBOneToOneField(
        "people.Person",
        on_delete=models.DO_NOTHING,
        null=True,
        dangling="none",
        related_name="lent_desk",
    )


class Translation(models.Model):
    language = CrossDBForeignKey("people.Language", on_delete=models.CASCADE)
    text = models.CharField(max_length=50, default="")


class Quote(models.Model):
    rate = CrossDBForeignKey("people.Rate", on_delete=models.CASCADE, null=True)
    day = CrossDBForeignKey("people.Day", on_delete=models.CASCADE, null=True)
