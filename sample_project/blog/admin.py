from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from sample_project.blog.models import Comment, Note, Post
from xdbrel.admin import CrossDBModelAdmin


@admin.register(Post)
class PostAdmin(CrossDBModelAdmin):
    list_display = ("title", "author", "created_at")
    list_filter = ("created_at", "editors")
    search_fields = ("title", "content")
    autocomplete_fields = ("author",)
    filter_horizontal = ("editors",)
    date_hierarchy = "created_at"


@admin.register(Comment)
class CommentAdmin(CrossDBModelAdmin):
    list_display = ("__str__", "post", "author", "created_at")
    search_fields = ("content",)
    autocomplete_fields = ("post", "author")


@admin.register(Note)
class NoteAdmin(CrossDBModelAdmin):
    list_display = ("__str__", "author", "content_type", "about")
    search_fields = ("text",)
    autocomplete_fields = ("author",)

    def get_queryset(self, request):
        # Lists prefetch foreign keys by themselves, as Django's join them; not this.
        return super().get_queryset(request).prefetch_related("about")


class EditedPostInline(admin.TabularInline):
    """The other side of ``Post.editors``, on the page of a user."""

    model = Post.editors.through
    autocomplete_fields = ("post",)
    extra = 0
    verbose_name = "edited post"
    verbose_name_plural = "edited posts"


admin.site.unregister(User)


@admin.register(User)
class EditorAdmin(UserAdmin):
    inlines = (EditedPostInline,)
