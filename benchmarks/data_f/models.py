"""Users in one database, posts in another."""

from django.db import models

from xdbrel import CrossDBForeignKey


class User(models.Model):
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()
    created_at = models.DateTimeField()


class Post(models.Model):
    author = CrossDBForeignKey(User, on_delete=models.CASCADE, related_name="posts")
    title = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_index=True)
