"""Targets of one kind: nobody's, one relation's, three relations'; the sources elsewhere."""

from django.db import models

from xdbrel import CrossDBForeignKey


class Bare(models.Model):
    name = models.CharField(max_length=40)


class ByRow(models.Model):
    """Watched by a row-level trigger that is written by hand."""

    name = models.CharField(max_length=40)


class Watched(models.Model):
    name = models.CharField(max_length=40)


class WatchedThrice(models.Model):
    name = models.CharField(max_length=40)


class Source(models.Model):
    watched = CrossDBForeignKey(Watched, on_delete=models.CASCADE, related_name="+")
    first = CrossDBForeignKey(WatchedThrice, on_delete=models.CASCADE, related_name="+")
    second = CrossDBForeignKey(WatchedThrice, on_delete=models.CASCADE, related_name="+")
    third = CrossDBForeignKey(WatchedThrice, on_delete=models.CASCADE, related_name="+")
