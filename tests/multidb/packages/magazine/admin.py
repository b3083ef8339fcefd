from django.contrib import admin
from guardian.admin import GuardedModelAdmin
from polymorphic.admin import PolymorphicChildModelAdmin, PolymorphicParentModelAdmin
from reversion.admin import VersionAdmin
from simple_history.admin import SimpleHistoryAdmin

from tests.multidb.packages.magazine.models import Article, Painting, Study, Work


@admin.register(Article)
class ArticleAdmin(VersionAdmin, SimpleHistoryAdmin, GuardedModelAdmin):
    list_display = ["title", "author"]
    list_filter = ["author", "tags"]
    search_fields = ["author__username", "tags__name"]
    filter_horizontal = ["editors"]


@admin.register(Work)
class WorkAdmin(PolymorphicParentModelAdmin):
    base_model = Work
    child_models = [Painting, Study]
    list_display = ["topic", "owner"]
    list_filter = ["owner"]


@admin.register(Painting, Study)
class ChildAdmin(PolymorphicChildModelAdmin):
    base_model = Work
