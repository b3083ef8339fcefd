"""Users, posts and comments, declared twice over the same tables.

``Post`` and ``Comment`` are what xdbrel is measured with; ``PlainPost`` and
``PlainComment`` have Django's own foreign keys, for the alternatives. Comments live
with the users, so that every step of the nested case changes the database.
"""

from django.db import models

from xdbrel import CrossDBForeignKey


class User(models.Model):
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()
    created_at = models.DateTimeField()


class Post(models.Model):
    author = CrossDBForeignKey(User, on_delete=models.CASCADE, related_name="posts")
    title = models.CharField(max_length=200)
    created_at = models.DateTimeField()


class Comment(models.Model):
    post = CrossDBForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    content = models.TextField()
    created_at = models.DateTimeField()


class PlainPost(models.Model):
    author = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="plain_posts", db_constraint=False
    )
    title = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = Post._meta.db_table


class PlainComment(models.Model):
    post = models.ForeignKey(
        PlainPost, on_delete=models.CASCADE, related_name="comments", db_constraint=False
    )
    content = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = Comment._meta.db_table
