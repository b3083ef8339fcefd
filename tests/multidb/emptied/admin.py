"""Three admin sites: plain classes everywhere, and the page's own for another database.

``multidb`` and its inline are what the page asks for where a model is to be shown out of a
database that the routers do not name.
"""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User

from tests.multidb.emptied.press.models import Author, Book, Publisher
from tests.multidb.emptied.shop.models import Account, Order, Product


class OrderInline(admin.TabularInline):
    """Orders of another database, in the form of their customer."""

    model = Order
    fields = ["number", "product", "paid"]
    extra = 1


class AccountInline(admin.StackedInline):
    model = Account


class CustomerAdmin(UserAdmin):
    inlines = [OrderInline, AccountInline]


class OrderAdmin(admin.ModelAdmin):
    list_display = ["number", "customer", "product"]
    list_filter = ["customer__is_staff"]
    search_fields = ["customer__username", "product__name"]
    autocomplete_fields = ["customer"]
    filter_horizontal = ["extras"]


plain = admin.AdminSite("plain")
plain.register(User, CustomerAdmin)
plain.register(Group)
plain.register(Order, OrderAdmin)
plain.register([Product, Author, Publisher, Book])


class OfOld:
    """What the three methods of forms have in common, for models and inlines."""

    using = "legacy_users"

    def get_queryset(self, request):
        return super().get_queryset(request).using(self.using)

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        return super().formfield_for_foreignkey(db_field, request, using=self.using, **kwargs)

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        return super().formfield_for_manytomany(db_field, request, using=self.using, **kwargs)


class MultiDBModelAdmin(OfOld, admin.ModelAdmin):
    def save_model(self, request, obj, form, change):
        obj.save(using=self.using)

    def delete_model(self, request, obj):
        obj.delete(using=self.using)


class MultiDBTabularInline(OfOld, admin.TabularInline):
    pass


class BookInline(MultiDBTabularInline):
    model = Book
    extra = 1


class PublisherAdmin(MultiDBModelAdmin):
    inlines = [BookInline]


of_old = admin.AdminSite("of_old")
of_old.register(Author, MultiDBModelAdmin)
of_old.register(Publisher, PublisherAdmin)

othersite = admin.AdminSite("othersite")
othersite.register(Publisher, MultiDBModelAdmin)
