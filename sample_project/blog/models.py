"""At home in ``blog_db``; the authors are in ``default``."""

from django.conf import settings
from django.db import models

from xdbrel import CrossDBForeignKey


class Post(models.Model):
    title = models.CharField(max_length=200)
    content = models.TextField()
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="blog_posts"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.title


class Comment(models.Model):
    # Both ends are in blog_db: a plain ForeignKey, with its constraint.
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="blog_comments"
    )
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.content[:60]
