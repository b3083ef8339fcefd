"""Articles and works, at home in ``content``, by people in ``default``."""

from django.contrib.auth.models import User
from django.db import models
from polymorphic.models import PolymorphicModel
from simple_history.models import HistoricalRecords
from taggit.managers import TaggableManager

from xdbrel import CrossDBForeignKey, CrossDBManyToManyField


class Article(models.Model):
    title = models.CharField(max_length=50)
    author = CrossDBForeignKey(User, models.CASCADE, related_name="articles")
    editors = CrossDBManyToManyField(User, related_name="edited", blank=True)
    tags = TaggableManager(blank=True)
    history = HistoricalRecords()

    def __str__(self):
        return self.title


class Work(PolymorphicModel):
    topic = models.CharField(max_length=30)
    owner = CrossDBForeignKey(User, models.SET_NULL, null=True, related_name="works")


class Painting(Work):
    colour = models.CharField(max_length=30)


class Study(Work):
    mentor = CrossDBForeignKey(User, models.CASCADE, related_name="studies")
