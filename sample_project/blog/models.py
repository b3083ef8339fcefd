"""At home in ``blog_db``; authors and editors are in ``default``.

What the notes are about is in ``reference_db``.
"""

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBGenericForeignKey, CrossDBManyToManyField


class Post(models.Model):
    title = models.CharField(max_length=200)
    content = models.TextField()
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="blog_posts"
    )
    # The rows in between, blog.Post_editors, are in blog_db like the posts.
    editors = CrossDBManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="edited_posts"
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


class Note(models.Model):
    """A line about one of whatever declares that it has notes: see ``reference.models``."""

    # Content types live in default, like the users.
    content_type = CrossDBForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    # A text, since those are the keys of airlines, airports and planes.
    object_id = models.CharField(max_length=8)
    about = CrossDBGenericForeignKey()
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes"
    )
    text = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["object_id", "content_type"], name="blog_note_about")]

    def __str__(self):
        return self.text[:60]
