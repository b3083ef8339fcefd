"""Relations that are hard to delete through: circles, diamonds, every policy.

Homes: Artist, Team and Owner in ``default``; Album, Song and Player in ``blog``; the
tickets in ``shop``.
"""

from django.db import models
from django.db.models.deletion import SET

from xdbrel import CrossDBForeignKey


class Artist(models.Model):
    name = models.CharField(max_length=20, default="")


class Album(models.Model):
    artist = CrossDBForeignKey(Artist, on_delete=models.CASCADE, related_name="albums")


class Song(models.Model):
    """Restricts its album's deletion, but goes with their common artist."""

    album = models.ForeignKey(Album, on_delete=models.RESTRICT, related_name="songs")
    artist = CrossDBForeignKey(Artist, on_delete=models.CASCADE, related_name="songs")


class Concert(models.Model):
    """Restricts its artist's deletion from another database."""

    artist = CrossDBForeignKey(Artist, on_delete=models.RESTRICT, related_name="concerts")
    album = models.ForeignKey(Album, on_delete=models.CASCADE, null=True, related_name="concerts")


class Team(models.Model):
    """Points at a player, who points back: a circle over two databases."""

    captain = CrossDBForeignKey(
        "knots.Player", on_delete=models.CASCADE, null=True, related_name="captained"
    )


class Player(models.Model):
    team = CrossDBForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="players")


class Owner(models.Model):
    name = models.CharField(max_length=20, default="")


def last_resort():
    return Owner.objects.get_or_create(name="last resort")[0].pk


def refuse_the_famous(collector, field, sub_objs, using):
    """A project's own policy: refuse where anything is marked, set null elsewhere."""
    if any(ticket.famous for ticket in sub_objs):
        raise models.ProtectedError("famous tickets keep their owner", set(sub_objs))
    models.SET_NULL(collector, field, sub_objs, using)


class Ticket(models.Model):
    famous = models.BooleanField(default=False)
    set_to = CrossDBForeignKey(
        Owner, on_delete=SET(last_resort), null=True, related_name="tickets_set"
    )
    default = CrossDBForeignKey(
        Owner, on_delete=models.SET_DEFAULT, null=True, default=7, related_name="tickets_default"
    )
    kept = CrossDBForeignKey(
        Owner, on_delete=models.DO_NOTHING, null=True, related_name="tickets_kept"
    )
    special = CrossDBForeignKey(
        Owner, on_delete=refuse_the_famous, null=True, related_name="tickets_special"
    )
