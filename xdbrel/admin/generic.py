"""Generic inlines of the admin, for rows in another database than their parent.

Django's ask for the content type of the parent in the database where content types are read
by default. These name the one that the inline's own rows name. They are for a project's
``admin.py``; nothing of xdbrel imports them, since they need django.contrib.contenttypes.
"""

from __future__ import annotations

from django.contrib.contenttypes.admin import GenericStackedInline, GenericTabularInline

from xdbrel.fields.generic.formsets import CrossDBGenericInlineFormSet

__all__ = [
    "CrossDBGenericInlineFormSet",
    "CrossDBGenericStackedInline",
    "CrossDBGenericTabularInline",
]


class CrossDBGenericTabularInline(GenericTabularInline):
    """Django's ``GenericTabularInline``, for rows in another database than their parent."""

    formset = CrossDBGenericInlineFormSet  # type: ignore[assignment]


class CrossDBGenericStackedInline(GenericStackedInline):
    """Django's ``GenericStackedInline``, for rows in another database than their parent."""

    formset = CrossDBGenericInlineFormSet  # type: ignore[assignment]
