"""The rows that xdbrel owns: intents, scan runs and their findings.

An intent stands in the database of the targets it speaks of, so that it commits or
vanishes with their delete. Runs and findings stand in ``XDBREL["INTEGRITY_DATABASE"]``.
What writes these rows is ``xdbrel.cascade`` and ``xdbrel.integrity``.
"""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from xdbrel.indexes import PartialIndex


class CascadeIntent(models.Model):
    """These targets were deleted, or their keys changed; their sources must follow.

    ``keys`` are the targets' keys as ``xdbrel.keys.encode`` makes them. ``available_at``
    is the lease of the process that wrote the intent, backoff and the time of the second
    look: no relay takes the intent before. ``attempts`` counts those that failed.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        #: The sources have followed; those written meanwhile are looked for once more.
        APPLIED = "applied", "applied"
        CONFIRMED = "confirmed", "confirmed"
        SET_ASIDE = "set_aside", "set aside"

    class Cause(models.TextChoices):
        ORM = "orm", "ORM"
        TRIGGER = "trigger", "trigger"

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=255)
    #: Where the sources live; empty where only the routers know (a trigger wrote the intent).
    source_alias = models.CharField(max_length=100, blank=True, default="")
    keys = models.JSONField(encoder=DjangoJSONEncoder)
    #: Where keys were changed: what each of ``keys`` became. Null where targets were deleted.
    new_keys = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    #: What began it: one token for a ``delete()`` and all that follows, in every database.
    deletion = models.CharField(max_length=32, blank=True, default="")
    cause = models.CharField(max_length=10, choices=Cause.choices, default=Cause.ORM)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    available_at = models.DateTimeField(default=timezone.now)
    claimed_by = models.CharField(max_length=64, blank=True, default="")
    last_error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "cascade intent"
        verbose_name_plural = "cascade intents"
        indexes = [
            # What a claim and the figures of the backlog look for. Equalities, since SQLite
            # takes the index only for what stands in its condition as it is in the query ...
            PartialIndex(
                fields=["status", "available_at", "id"],
                name="xdbrel_intent_due",
                where=models.Q(status="pending")
                | models.Q(status="applied")
                | models.Q(status="set_aside"),
            ),
            # ... and what pruning does.
            PartialIndex(
                fields=["applied_at"],
                name="xdbrel_intent_old",
                where=models.Q(status="confirmed"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.relation}: {len(self.keys)} keys, {self.status}"


class IntentClaim(models.Model):
    """What one relay holds: these intents are nobody else's while ``until`` lies ahead.

    One row for many intents, which are not touched before they are settled. A claim that
    outlives its time is that of a process that died. Stands where its intents do.
    """

    token = models.CharField(max_length=32, primary_key=True)
    #: Primary keys of the intents, and the status that they had: another is settled.
    intents = models.JSONField()
    status = models.CharField(max_length=10, choices=CascadeIntent.Status.choices)
    until = models.DateTimeField()

    class Meta:
        verbose_name = "intent claim"
        verbose_name_plural = "intent claims"

    def __str__(self) -> str:
        return f"{len(self.intents)} intents, until {self.until:%Y-%m-%d %H:%M:%S}"


class PausedRelation(models.Model):
    """A relation whose intents wait until it is resumed. Stands where its intents do."""

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=255, unique=True)
    paused_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "paused relation"
        verbose_name_plural = "paused relations"

    def __str__(self) -> str:
        return f"{self.relation}, since {self.paused_at:%Y-%m-%d %H:%M}"


class ScanRun(models.Model):
    """One search for the orphans of one relation."""

    class Status(models.TextChoices):
        RUNNING = "running", "running"
        COMPLETE = "complete", "complete"
        FAILED = "failed", "failed"

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=255, db_index=True)
    source_alias = models.CharField(max_length=100)
    target_alias = models.CharField(max_length=100)
    strategy = models.CharField(max_length=30)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    orphans = models.BigIntegerField(default=0)
    distinct_keys = models.BigIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "scan run"
        verbose_name_plural = "scan runs"
        indexes = [models.Index(fields=["relation", "-started_at"], name="xdbrel_run_latest")]

    def __str__(self) -> str:
        return f"{self.relation}: {self.orphans} orphans, {self.status}"


class Orphan(models.Model):
    """One finding of a run: a key that no target row has, and how many sources hold it."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ScanRun, on_delete=models.CASCADE, related_name="findings")
    key = models.JSONField(encoder=DjangoJSONEncoder)
    sources = models.BigIntegerField()

    class Meta:
        verbose_name = "orphan"
        verbose_name_plural = "orphans"

    def __str__(self) -> str:
        return f"{self.key!r}: {self.sources} sources"
