"""Keys that change and sources that are masked: targets in ``default``, sources elsewhere."""

from django.db import models

from xdbrel.fields import CrossDBForeignKey, CrossDBOneToOneField


class Subject(models.Model):
    """Two keys that can change, one of text and one that may be missing, besides the primary."""

    slug = models.CharField(max_length=50, unique=True)
    number = models.IntegerField(unique=True, null=True)
    title = models.CharField(max_length=50, default="")


class SubjectProxy(Subject):
    class Meta:
        proxy = True


class Course(Subject):
    """A multi-table child: the keys that it inherits are in its parent's table."""

    hours = models.IntegerField(default=0)


class Currency(models.Model):
    """A target whose primary key is its code."""

    code = models.CharField(max_length=3, primary_key=True)


class Note(models.Model):
    """Follows its subject. At home in ``blog``."""

    subject = CrossDBForeignKey(
        Subject,
        models.CASCADE,
        to_field="slug",
        on_update=models.CASCADE,
        related_name="notes",
    )
    text = models.CharField(max_length=50, default="")


class Rank(models.Model):
    """Follows by a number, or into having none. At home in ``blog``."""

    subject = CrossDBForeignKey(
        Subject,
        models.CASCADE,
        to_field="number",
        on_update=models.CASCADE,
        null=True,
        verify=True,
        related_name="ranks",
    )


class Price(models.Model):
    """Follows a primary key. At home in ``blog``."""

    currency = CrossDBForeignKey(
        Currency, models.CASCADE, on_update=models.CASCADE, related_name="prices"
    )


class Pin(models.Model):
    """Protects the keys of what it points at. At home in ``shop``."""

    subject = CrossDBForeignKey(
        Subject, models.CASCADE, to_field="slug", null=True, related_name="pins"
    )
    by_pk = CrossDBForeignKey(
        Subject, models.CASCADE, null=True, related_name="pins_by_primary_key"
    )


class Mark(models.Model):
    """Is left behind. At home in ``shop``."""

    subject = CrossDBForeignKey(
        Subject,
        models.DO_NOTHING,
        to_field="slug",
        on_update=models.DO_NOTHING,
        related_name="marks",
    )


class Syllabus(models.Model):
    """Points at a child, whose primary key is its parent's. At home in ``shop``."""

    course = CrossDBForeignKey(Course, models.CASCADE, related_name="+")


class Wallet(models.Model):
    """Follows, and its own key is what it follows by. At home in ``blog``."""

    subject = CrossDBOneToOneField(
        Subject,
        models.CASCADE,
        to_field="slug",
        on_update=models.CASCADE,
        related_name="wallet",
    )


class Card(models.Model):
    """Follows what follows. At home in ``shop``."""

    wallet = CrossDBForeignKey(
        Wallet, models.CASCADE, to_field="subject", on_update=models.CASCADE, related_name="cards"
    )
    sealed = CrossDBForeignKey(
        Wallet, models.CASCADE, to_field="subject", null=True, related_name="+"
    )


class Author(models.Model):
    """A target whose sources are masked."""

    name = models.CharField(max_length=50, default="")


class Page(models.Model):
    """At home in ``blog``, as are the following."""

    author = CrossDBForeignKey(Author, models.CASCADE, masked=True, related_name="pages")
    reviewer = CrossDBForeignKey(
        Author, models.SET_NULL, null=True, masked=True, related_name="reviewed"
    )
    number = models.IntegerField(default=0)

    class Meta:
        ordering = ["number", "id"]


class Leaflet(models.Model):
    author = CrossDBForeignKey(
        Author, models.CASCADE, masked=True, dangling="none", related_name="leaflets"
    )


class Badge(models.Model):
    author = CrossDBOneToOneField(Author, models.CASCADE, masked=True, related_name="badge")


class Draft(models.Model):
    """The same without masking."""

    author = CrossDBForeignKey(Author, models.CASCADE, related_name="drafts")
