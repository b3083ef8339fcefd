"""Models whose queries span databases, for ``tests/oracle``.

Homes: Country, Author, Reading, Spot and Booth in ``default``; Post, Comment, Club, Note and Visit
in ``blog``; Order, Profile, Membership, Label and Zone in ``shop``. Models that tell the same in
Django's own fields stand in the database ``whole``, where it can join them itself
(``tests.oracle.twins``).

Deleting leaves alone whatever crosses (``DO_NOTHING``), where Django has the choice: what is
compared is which rows a query finds. Every field has a default, so that a row is written by what
matters of it.
"""

from django.contrib.contenttypes.models import ContentType
from django.db import models

from xdbrel import (
    CrossDBCompositeForeignKey,
    CrossDBForeignKey,
    CrossDBGenericForeignKey,
    CrossDBGenericRelation,
    CrossDBManyToManyField,
    CrossDBOneToOneField,
)


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
    #: The same, of a model that nobody wrote.
    liked = CrossDBManyToManyField("Club", related_name="fans")
    notes = CrossDBGenericRelation("Note", related_query_name="on_author")


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
    #: Between models of one database, with the rows in between in another.
    linked = CrossDBManyToManyField(
        "self", symmetrical=False, through_home="default", related_name="links"
    )
    #: Beside the notes.
    notes = CrossDBGenericRelation("Note", related_query_name="on_post")


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
    #: Without a way back in queries.
    notes = CrossDBGenericRelation("Note")


class Club(models.Model):
    """Its key is a text."""

    code = models.CharField(max_length=5, primary_key=True)
    name = models.CharField(max_length=10, default="")
    seats = models.IntegerField(default=0)
    since = models.DateField(null=True)
    #: The rows in between are in a third database.
    members = CrossDBManyToManyField(Author, through="Membership", related_name="clubs")
    patrons = CrossDBManyToManyField(Author, through_home="shop", related_name="patron_of")
    labels = CrossDBGenericRelation(
        "Label", object_id_field="key", content_type_field="kind", related_query_name="club"
    )


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


class Note(models.Model):
    """Is about an author, a post or a profile."""

    content_type = CrossDBForeignKey(
        ContentType, on_delete=models.DO_NOTHING, null=True, related_name="+"
    )
    object_id = models.BigIntegerField(null=True)
    about = CrossDBGenericForeignKey()
    text = models.CharField(max_length=10, default="")
    weight = models.IntegerField(null=True)
    day = models.DateField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["object_id", "content_type"], name="parted_note_about"),
        ]


class Label(models.Model):
    """Is on a club, by a key that is a text."""

    kind = CrossDBForeignKey(ContentType, on_delete=models.DO_NOTHING, related_name="+")
    key = models.CharField(max_length=5)
    subject = CrossDBGenericForeignKey("kind", "key")
    author = CrossDBForeignKey(
        Author, on_delete=models.DO_NOTHING, null=True, related_name="labels"
    )
    word = models.CharField(max_length=10, default="")
    level = models.IntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["key", "kind"], name="parted_label_subject"),
        ]


class Zone(models.Model):
    """Two of its columns are unique together."""

    letter = models.CharField(max_length=5)
    row = models.IntegerField()
    name = models.CharField(max_length=10, default="")
    size = models.IntegerField(null=True)
    since = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["letter", "row"], name="parted_zone_key"),
        ]


class Spot(models.Model):
    """Its key is of two columns, one of which belongs to another relation as well."""

    pk = models.CompositePrimaryKey("row", "letter")
    row = models.IntegerField()
    letter = models.CharField(max_length=5)
    floor = models.IntegerField(null=True)
    zone = CrossDBCompositeForeignKey(
        Zone,
        on_delete=models.DO_NOTHING,
        from_fields=("letter", "floor"),
        to_fields=("letter", "row"),
        related_name="spots",
    )
    name = models.CharField(max_length=10, default="")
    height = models.IntegerField(null=True)
    opened = models.DateField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["letter", "floor"], name="parted_spot_zone"),
        ]


class Visit(models.Model):
    """Any column of its keys may be NULL."""

    author = CrossDBForeignKey(
        Author, on_delete=models.DO_NOTHING, null=True, related_name="visits"
    )
    row = models.IntegerField(null=True)
    letter = models.CharField(max_length=5, null=True)
    floor = models.IntegerField(null=True)
    spot = CrossDBCompositeForeignKey(
        Spot, on_delete=models.DO_NOTHING, from_fields=("row", "letter"), related_name="visits"
    )
    zone = CrossDBCompositeForeignKey(
        Zone,
        on_delete=models.DO_NOTHING,
        from_fields=("letter", "floor"),
        to_fields=("letter", "row"),
        related_name="visits",
    )
    text = models.CharField(max_length=10, default="")
    stars = models.IntegerField(default=0)
    day = models.DateField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["row", "letter"], name="parted_visit_spot"),
            models.Index(fields=["letter", "floor"], name="parted_visit_zone"),
        ]


class Booth(models.Model):
    """Beside its spot, which it cannot do without."""

    row = models.IntegerField()
    letter = models.CharField(max_length=5)
    spot = CrossDBCompositeForeignKey(
        Spot, on_delete=models.DO_NOTHING, from_fields=("row", "letter"), related_name="booths"
    )
    post = CrossDBForeignKey(Post, on_delete=models.DO_NOTHING, null=True, related_name="booths")
    name = models.CharField(max_length=10, default="")
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)

    class Meta:
        indexes = [
            models.Index(fields=["row", "letter"], name="parted_booth_spot"),
        ]
