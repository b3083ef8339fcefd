from django.contrib import admin

from sample_project.blog.models import Comment, Post
from xdbrel.admin import CrossDBModelAdmin


@admin.register(Post)
class PostAdmin(CrossDBModelAdmin):
    list_display = ("title", "author", "created_at")
    list_filter = ("created_at",)
    search_fields = ("title", "content")
    autocomplete_fields = ("author",)
    date_hierarchy = "created_at"


@admin.register(Comment)
class CommentAdmin(CrossDBModelAdmin):
    list_display = ("__str__", "post", "author", "created_at")
    search_fields = ("content",)
    autocomplete_fields = ("post", "author")
