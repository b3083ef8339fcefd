"""Many-to-many relations of every kind.

Homes: Reader and Topic in ``default``, Club in ``blog``, Membership in ``shop``.
"""

from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBManyToManyField


class ReaderManager(models.Manager):
    def get_by_natural_key(self, slug):
        return self.get(slug=slug)


class Reader(models.Model):
    slug = models.SlugField(unique=True)
    age = models.IntegerField(default=30)
    #: To the other side: the rows in between are with the readers.
    likes = CrossDBManyToManyField(
        "Club", related_name="liked_by", limit_choices_to={"open": True}, blank=True
    )

    objects = ReaderManager()

    class Meta:
        ordering = ["slug"]

    def __str__(self):
        return self.slug

    def natural_key(self):
        return (self.slug,)


class ShownTopics(models.Manager):
    """Not all of them."""

    def get_queryset(self):
        return super().get_queryset().filter(hidden=False)


class Topic(models.Model):
    """Its default manager does not show all of them."""

    name = models.CharField(max_length=20)
    hidden = models.BooleanField(default=False)

    objects = ShownTopics()
    every = models.Manager()  # noqa: DJ012 (a manager)


class Club(models.Model):
    name = models.CharField(max_length=20)
    open = models.BooleanField(default=True)
    readers = CrossDBManyToManyField(Reader, related_name="clubs", blank=True)
    #: Whose keys are verified.
    guests = CrossDBManyToManyField(Reader, related_name="guest_of", verify=True, blank=True)
    #: With the rows in between in a third database.
    patrons = CrossDBManyToManyField(
        Reader, related_name="patron_of", through_home="shop", blank=True
    )
    friends = CrossDBManyToManyField("self", through_home="default", blank=True)
    parents = CrossDBManyToManyField(
        "self", symmetrical=False, related_name="children", blank=True
    )
    topics = CrossDBManyToManyField(Topic, related_name="clubs", blank=True)
    #: By a model of its own, in a third database, and by another key than the primary one.
    members = CrossDBManyToManyField(
        Reader,
        through="Membership",
        through_fields=("club", "reader"),
        related_name="member_of",
        blank=True,
    )

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Membership(models.Model):
    club = CrossDBForeignKey(Club, on_delete=models.CASCADE)
    reader = CrossDBForeignKey(Reader, to_field="slug", on_delete=models.CASCADE)
    sponsor = CrossDBForeignKey(
        Reader, on_delete=models.SET_NULL, null=True, related_name="sponsored"
    )
    role = models.CharField(max_length=20, default="member")
