"""The admins of the rows that xdbrel owns: read-only, with actions that call its services.

What is done by "retry" and "scan again" is in ``xdbrel.cascade`` and ``xdbrel.integrity``;
here it is asked for, permitted and reported. So it is with resuming a paused relation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from django.contrib import admin, messages
from django.db import DatabaseError, models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from xdbrel import placement, relations
from xdbrel.cascade.pauses import lift
from xdbrel.cascade.relay import intent_aliases, relay
from xdbrel.cascade.retry import retry
from xdbrel.conf import settings
from xdbrel.exceptions import SHOWN_KEYS, PauseFailed, UnknownRelation
from xdbrel.integrity.exceptions import BeingScanned, ScanIncomplete, ScanTakenOver
from xdbrel.integrity.scan import scan
from xdbrel.models import CascadeIntent, Orphan, PausedRelation, RepairRun, ScanRun

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin

#: The query parameter that names the database whose intents are shown.
DATABASE = "database"


class OwnRowsAdmin(_ModelAdmin):
    """Rows that only xdbrel writes: looked at here, never added, changed or deleted."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def alias(self, request: HttpRequest) -> str:
        """Return the alias whose rows are shown."""
        return settings.INTEGRITY_DATABASE

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).using(self.alias(request))


class DatabaseFilter(admin.SimpleListFilter):
    """Choose the database; the queryset is on it already (``OwnRowsAdmin.alias``)."""

    title = _("database")
    parameter_name = DATABASE

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> Sequence[tuple[str, str]]:
        return [(alias, alias) for alias in intent_aliases()]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        return queryset


class HomeRowsAdmin(OwnRowsAdmin):
    """Rows that stand in the homes of targets: those of one database at a time."""

    def alias(self, request: HttpRequest) -> str:
        known = intent_aliases()
        # A row's own page knows by the filters of the list that led to it.
        filters = parse_qs(request.GET.get("_changelist_filters", ""))
        wanted = request.GET.get(DATABASE) or filters.get(DATABASE, [""])[0]
        if wanted in known:
            return wanted
        home = placement.home(self.model)
        return home if home in known or not known else known[0]


class CascadeIntentAdmin(HomeRowsAdmin):
    """Intents stand where their targets did."""

    list_display = (
        "relation",
        "event",
        "number_of_keys",
        "source_alias",
        "cause",
        "status",
        "attempts",
        "available_at",
        "created_at",
        "applied_at",
    )
    list_filter = (DatabaseFilter, "status", "cause", "relation")
    search_fields = ("relation", "last_error", "deletion")
    ordering = ("-id",)
    actions = ("retry_now",)
    fields = (
        "relation",
        "event",
        "targets",
        "source_alias",
        "cause",
        "deletion",
        "status",
        "attempts",
        "available_at",
        "claimed_by",
        "last_error",
        "created_at",
        "applied_at",
    )
    readonly_fields = ("event", "targets")

    @admin.display(description=_("targets"))
    def event(self, intent: CascadeIntent) -> str:
        return gettext("deleted") if intent.new_keys is None else gettext("keys changed")

    @admin.display(description=_("keys"))
    def number_of_keys(self, intent: CascadeIntent) -> int:
        return len(intent.keys)

    @admin.display(description=_("keys"))
    def targets(self, intent: CascadeIntent) -> str:
        """Return the first of the keys: ``7, 8``, or ``7 → 70, 8 → 80`` where they changed."""
        if intent.new_keys is None:
            shown = [str(key) for key in intent.keys[:SHOWN_KEYS]]
        else:
            pairs = zip(intent.keys[:SHOWN_KEYS], intent.new_keys, strict=False)
            shown = [f"{old} → {new}" for old, new in pairs]
        text = ", ".join(shown)
        number = len(intent.keys)
        if number > SHOWN_KEYS:
            text = gettext("%(keys)s … (%(count)d in all)") % {"keys": text, "count": number}
        return text

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("xdbrel.change_cascadeintent")

    @admin.action(description=_("Retry selected intents now"), permissions=["retry"])
    def retry_now(self, request: HttpRequest, queryset: models.QuerySet[CascadeIntent]) -> None:
        alias = self.alias(request)
        made_due = retry(queryset, using=alias)
        result = relay(using=alias, limit=made_due) if made_due else None
        applied, failed = (result.applied, result.failed) if result else (0, 0)
        self.message_user(
            request,
            ngettext("%(count)d intent was applied.", "%(count)d intents were applied.", applied)
            % {"count": applied},
            messages.SUCCESS if applied else messages.INFO,
        )
        if failed:
            self.message_user(
                request,
                ngettext(
                    "%(count)d intent failed again; its last error says why.",
                    "%(count)d intents failed again; their last errors say why.",
                    failed,
                )
                % {"count": failed},
                messages.ERROR,
            )


class PausedRelationAdmin(HomeRowsAdmin):
    """Relations whose intents wait; they are paused by ``manage.py xdbrel_relay --pause``."""

    list_display = ("relation", "paused_at")
    list_filter = (DatabaseFilter,)
    search_fields = ("relation",)
    ordering = ("relation",)
    actions = ("resume",)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("xdbrel.delete_pausedrelation")

    @admin.action(description=_("Resume selected relations"), permissions=["resume"])
    def resume(self, request: HttpRequest, queryset: models.QuerySet[PausedRelation]) -> None:
        resumed = 0
        for row in queryset:
            try:
                resumed += lift(row.relation, using=self.alias(request))
            except PauseFailed as error:
                self.message_user(request, str(error), messages.ERROR)
        self.message_user(
            request,
            ngettext(
                "%(count)d relation was resumed.", "%(count)d relations were resumed.", resumed
            )
            % {"count": resumed},
            messages.SUCCESS if resumed else messages.INFO,
        )


class ScanRunAdmin(OwnRowsAdmin):
    list_display = (
        "relation",
        "mode",
        "status",
        "orphans",
        "distinct_keys",
        "strategy",
        "seconds",
        "started_at",
        "confirmed_at",
        "found",
    )
    list_filter = ("status", "mode", "relation")
    search_fields = ("relation",)
    ordering = ("-started_at", "-id")
    actions = ("scan_again",)

    @admin.display(description=_("findings"))
    def found(self, run: ScanRun) -> str:
        if not run.distinct_keys:
            return self.get_empty_value_display()
        url = reverse(f"{self.admin_site.name}:xdbrel_orphan_changelist")
        return format_html('<a href="{}?run__id__exact={}">{}</a>', url, run.pk, _("Show keys"))

    def has_scan_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("xdbrel.add_scanrun")

    @admin.action(description=_("Scan selected relations again"), permissions=["scan"])
    def scan_again(self, request: HttpRequest, queryset: models.QuerySet[ScanRun]) -> None:
        handles = sorted(set(queryset.order_by().values_list("relation", flat=True)))
        scanned = orphans = 0
        for handle in handles:
            try:
                orphans += scan(relations.get(handle)).orphans
                scanned += 1
            except (BeingScanned, ScanIncomplete, ScanTakenOver) as error:
                self.message_user(request, str(error), messages.ERROR)
            except (UnknownRelation, DatabaseError) as error:
                self.message_user(request, f"{handle}: {error}", messages.ERROR)
        self.message_user(
            request,
            ngettext(
                "%(count)d relation was scanned: %(orphans)d orphans.",
                "%(count)d relations were scanned: %(orphans)d orphans.",
                scanned,
            )
            % {"count": scanned, "orphans": orphans},
            messages.WARNING if orphans else messages.SUCCESS,
        )


class OrphanAdmin(OwnRowsAdmin):
    list_display = ("relation", "key", "sources", "run")
    list_select_related = ("run",)
    list_filter = ("run__relation",)
    ordering = ("-sources", "id")

    @admin.display(description=_("relation"), ordering="run__relation")
    def relation(self, orphan: Orphan) -> str:
        return orphan.run.relation


class RepairRunAdmin(OwnRowsAdmin):
    """What was done about findings, and who asked for it."""

    list_display = (
        "relation",
        "policy",
        "status",
        "dry_run",
        "actor",
        "rows",
        "number_of_keys",
        "started_at",
        "seconds",
    )
    list_filter = ("status", "policy", "dry_run", "relation")
    search_fields = ("relation", "actor", "last_error")
    ordering = ("-started_at", "-id")
    # A mapping may be as long as the table.
    exclude = ("options",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).defer("options")

    @admin.display(description=_("keys"), ordering="keys")
    def number_of_keys(self, repair: RepairRun) -> int:
        return repair.keys


class QuarantinedRowAdmin(HomeRowsAdmin):
    """Rows stand in quarantine where they stood before; ``xdbrel_restore`` puts them back."""

    list_display = ("relation", "model", "key", "target_key", "repair", "created_at")
    list_filter = (DatabaseFilter, "relation", "model")
    search_fields = ("=repair", "=unit")
    ordering = ("-id",)


class MoveRunAdmin(HomeRowsAdmin):
    """Rows on their way to another database; ``xdbrel_move`` goes on with them."""

    list_display = (
        "model",
        "source_alias",
        "destination_alias",
        "status",
        "removed",
        "actor",
        "started_at",
        "seconds",
    )
    list_filter = (DatabaseFilter, "status", "model")
    search_fields = ("model", "actor", "last_error")
    ordering = ("-started_at", "-id")


class HeartbeatAdmin(OwnRowsAdmin):
    """When a worker last did which kind of work."""

    list_display = ("work", "ran_at", "worker")
    ordering = ("work",)
