"""Users and posts, by integer keys and by UUIDs."""

from django.db import models

from xdbrel.fields import CrossDBForeignKey


class User(models.Model):
    username = models.CharField(max_length=30)
    email = models.CharField(max_length=50)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "users"


class Post(models.Model):
    author = CrossDBForeignKey(User, models.DO_NOTHING, related_name="posts")
    title = models.CharField(max_length=50)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "posts"


class UuidUser(models.Model):
    id = models.UUIDField(primary_key=True)
    username = models.CharField(max_length=30)
    email = models.CharField(max_length=50)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "users"


class UuidPost(models.Model):
    author = CrossDBForeignKey(UuidUser, models.DO_NOTHING, related_name="posts")
    title = models.CharField(max_length=50)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "posts"
