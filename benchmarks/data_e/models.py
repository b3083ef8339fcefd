"""Targets, and the sources that follow them, in two databases."""

from django.db import models

from xdbrel import CrossDBForeignKey


class Target(models.Model):
    name = models.CharField(max_length=40)


class Source(models.Model):
    target = CrossDBForeignKey(Target, on_delete=models.CASCADE, related_name="sources")
    title = models.CharField(max_length=40)
