"""Users, their posts, the posts' comments: three times, by who lets them follow a delete.

``One…`` stand in one database with Django's CASCADE, ``Two…`` in two with xdbrel's, and
``Recipe…`` in two with a ``pre_delete`` receiver that is called for each user.
"""

from django.db import models

from xdbrel import CrossDBForeignKey


class OneUser(models.Model):
    username = models.CharField(max_length=40)


class OnePost(models.Model):
    author = models.ForeignKey(OneUser, on_delete=models.CASCADE, related_name="posts")
    title = models.CharField(max_length=40)


class OneComment(models.Model):
    post = models.ForeignKey(OnePost, on_delete=models.CASCADE, related_name="comments")
    content = models.CharField(max_length=40)


class TwoUser(models.Model):
    username = models.CharField(max_length=40)


class TwoPost(models.Model):
    author = CrossDBForeignKey(TwoUser, on_delete=models.CASCADE, related_name="posts")
    title = models.CharField(max_length=40)


class TwoComment(models.Model):
    post = models.ForeignKey(TwoPost, on_delete=models.CASCADE, related_name="comments")
    content = models.CharField(max_length=40)


class RecipeUser(models.Model):
    username = models.CharField(max_length=40)


class RecipePost(models.Model):
    author = models.ForeignKey(
        RecipeUser, on_delete=models.DO_NOTHING, db_constraint=False, related_name="posts"
    )
    title = models.CharField(max_length=40)


class RecipeComment(models.Model):
    post = models.ForeignKey(RecipePost, on_delete=models.CASCADE, related_name="comments")
    content = models.CharField(max_length=40)
