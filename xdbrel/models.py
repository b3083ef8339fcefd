"""The rows that xdbrel owns: intents, scans and their findings, repairs.

An intent stands in the database of the targets it speaks of, so that it commits or
vanishes with their delete; a quarantined row in that of the sources, for the same reason.
A move stands in the database that its rows leave, so that what it has removed is written
down in the transaction that removes it. Scans, findings, repairs and heartbeats stand in
``XDBREL["INTEGRITY_DATABASE"]``. What writes these rows is ``xdbrel.cascade``,
``xdbrel.integrity`` and ``xdbrel.moving``.
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
    """One search for the orphans of one relation, by one process or shared by many.

    Its ranges say how far it is. What it found counts from ``confirmed_at`` on.
    """

    class Status(models.TextChoices):
        RUNNING = "running", "running"
        COMPLETE = "complete", "complete"
        #: Ended by an error or by a process that died; goes on from its ranges' positions.
        FAILED = "failed", "failed"

    class Mode(models.TextChoices):
        FULL = "full", "full"
        #: Only what has changed since ``base``.
        INCREMENTAL = "incremental", "incremental"
        #: An estimate; has no findings.
        SAMPLE = "sample", "sample"

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=255, db_index=True)
    source_alias = models.CharField(max_length=100)
    target_alias = models.CharField(max_length=100)
    mode = models.CharField(max_length=12, choices=Mode.choices, default=Mode.FULL)
    #: The run whose findings an incremental one adds to.
    base = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True)
    strategy = models.CharField(max_length=30)
    #: Why this strategy, with the figures that decided.
    reason = models.TextField(blank=True, default="")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    #: Keys looked at.
    seen = models.BigIntegerField(default=0)
    orphans = models.BigIntegerField(default=0)
    distinct_keys = models.BigIntegerField(default=0)
    #: How often it went on after it had been cut short.
    resumed = models.PositiveIntegerField(default=0)
    #: Up to which source, by primary key, whatever is written later counts as changed.
    horizon = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    #: Of a sample: share of orphans and its bounds.
    estimate = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    #: The second look: the last finding looked at, how many had a target again, and its end.
    confirmed_upto = models.BigIntegerField(default=0)
    healed = models.BigIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "scan run"
        verbose_name_plural = "scan runs"
        indexes = [models.Index(fields=["relation", "-started_at"], name="xdbrel_run_latest")]

    def __str__(self) -> str:
        return f"{self.relation}: {self.orphans} orphans, {self.status}"


class ScanRange(models.Model):
    """A part of a run, in the order of the source's keys: those in ``(after, upto]``.

    Null is no bound. ``position`` is how far it is: findings up to there are recorded, in
    the transaction that set it; ``recorded`` is the last of them. What stands behind that
    one is of a step that was cut short, and goes when somebody goes on from ``position``.
    Whoever holds the range (``claimed_by``, ``until``) scans it.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        COMPLETE = "complete", "complete"
        FAILED = "failed", "failed"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ScanRun, on_delete=models.CASCADE, related_name="ranges")
    number = models.PositiveIntegerField()
    after = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    upto = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    position = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    recorded = models.BigIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    #: How often it failed, or its process died, without getting further.
    attempts = models.PositiveIntegerField(default=0)
    claimed_by = models.CharField(max_length=64, blank=True, default="")
    until = models.DateTimeField(null=True, blank=True)
    seen = models.BigIntegerField(default=0)
    orphans = models.BigIntegerField(default=0)
    distinct_keys = models.BigIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "scan range"
        verbose_name_plural = "scan ranges"
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="xdbrel_range_of_run")
        ]

    def __str__(self) -> str:
        return f"range {self.number} of run {self.run_id}: {self.status}"


class ScanLease(models.Model):
    """Who scans a relation: one row for each relation that is being scanned."""

    relation = models.CharField(max_length=255, primary_key=True)
    run = models.ForeignKey(ScanRun, on_delete=models.CASCADE)
    claimed_by = models.CharField(max_length=64)
    until = models.DateTimeField()

    class Meta:
        verbose_name = "scan lease"
        verbose_name_plural = "scan leases"

    def __str__(self) -> str:
        return f"{self.relation}, until {self.until:%Y-%m-%d %H:%M:%S}"


class Orphan(models.Model):
    """One finding of a run: a key that no target row has, and how many sources hold it."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ScanRun, on_delete=models.CASCADE, related_name="findings")
    #: The number of the range that it was found in.
    range = models.PositiveIntegerField(default=0)
    key = models.JSONField(encoder=DjangoJSONEncoder)
    sources = models.BigIntegerField()

    class Meta:
        verbose_name = "orphan"
        verbose_name_plural = "orphans"

    def __str__(self) -> str:
        return f"{self.key!r}: {self.sources} sources"


class RepairRun(models.Model):
    """What was done about a run's findings: who, when, what, how many."""

    class Status(models.TextChoices):
        RUNNING = "running", "running"
        #: Ended at its limit of rows; goes on where it was with the next call.
        STOPPED = "stopped", "stopped"
        COMPLETE = "complete", "complete"
        #: Ended by an error; goes on as one that was stopped does.
        FAILED = "failed", "failed"

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=255, db_index=True)
    #: The scan that found them; null once that was pruned.
    run = models.ForeignKey(
        ScanRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="repairs"
    )
    policy = models.CharField(max_length=30)
    #: What the policy was given beside the findings.
    options = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    dry_run = models.BooleanField(default=False)
    source_alias = models.CharField(max_length=100)
    target_alias = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    #: Who asked for it: a user, a host and process, a task.
    actor = models.CharField(max_length=255, blank=True, default="")
    #: Which process is at it, and until when that is taken for granted.
    claimed_by = models.CharField(max_length=64, blank=True, default="")
    until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    keys = models.BigIntegerField(default=0)
    healed = models.BigIntegerField(default=0)
    #: Of these keys, how many were left as they are: a mapping has nothing for them.
    left = models.BigIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    #: Rows by model label, what a delete took with it included.
    counts = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    #: The last finding that was dealt with: a repair that was cut short goes on behind it.
    position = models.BigIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "repair run"
        verbose_name_plural = "repair runs"
        indexes = [models.Index(fields=["relation", "-started_at"], name="xdbrel_repair_latest")]

    def __str__(self) -> str:
        return f"{self.relation}: {self.policy}, {self.rows} rows, {self.status}"


class QuarantinedRow(models.Model):
    """A row that a repair took out of its table, whole. Stands in the sources' home.

    So it is written, and taken back, in the transaction that deletes or inserts the row.
    A row of a multi-table child is one here for each of its tables.
    """

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=255, db_index=True)
    #: One token for a repair, the same as in its options.
    repair = models.CharField(max_length=32, db_index=True)
    #: One token for rows that hang together: they go back together or not at all.
    unit = models.CharField(max_length=32, db_index=True)
    model = models.CharField(max_length=255)
    #: The row's primary key.
    key = models.JSONField(encoder=DjangoJSONEncoder)
    #: The key without a target. Null for what a delete would have taken along.
    target_key = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    #: What stood in its columns, by their names, as ``integrity.repairing.kept`` writes it.
    data = models.JSONField(encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "quarantined row"
        verbose_name_plural = "quarantined rows"

    def __str__(self) -> str:
        return f"{self.model} {self.key!r}, for {self.relation}"


class Heartbeat(models.Model):
    """When a kind of work was last done, by whom: silence shows that no worker runs."""

    #: ``relay``, ``scan``, ``confirm``, ``prune``.
    work = models.CharField(max_length=30, primary_key=True)
    ran_at = models.DateTimeField(default=timezone.now)
    worker = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        verbose_name = "heartbeat"
        verbose_name_plural = "heartbeats"

    def __str__(self) -> str:
        return f"{self.work}, {self.ran_at:%Y-%m-%d %H:%M:%S}"


class MoveRun(models.Model):
    """Rows on their way from the database that this one stands in to another.

    Its batches say how far it is. Whoever holds it (``claimed_by``, ``until``) moves rows.
    """

    class Status(models.TextChoices):
        #: Rows are copied and verified; the source has them all.
        COPYING = "copying", "copying"
        #: Both ends stand, and are brought to the same state with every call.
        KEPT = "kept", "kept"
        #: Rows go from the source; there is no way back but another move.
        REMOVING = "removing", "removing"
        COMPLETE = "complete", "complete"
        #: The copies were taken back.
        ABANDONED = "abandoned", "abandoned"

    id = models.BigAutoField(primary_key=True)
    #: Labels of the models that were asked for.
    model = models.CharField(max_length=255, db_index=True)
    #: The same while it is under way, so that there is one of it at a time; null afterwards.
    lease = models.CharField(max_length=255, unique=True, null=True, blank=True)
    source_alias = models.CharField(max_length=100)
    destination_alias = models.CharField(max_length=100)
    #: A digest of what was chosen: another choice is another move.
    selection = models.CharField(max_length=64)
    #: What the command was given, so that it can be gone on with.
    options = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    #: Labels of the tables, with whether the destination had rows of its own.
    tables = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.COPYING)
    #: Who asked for it: a user, a host and process.
    actor = models.CharField(max_length=255, blank=True, default="")
    claimed_by = models.CharField(max_length=64, blank=True, default="")
    until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    #: How often it went on after it had been cut short.
    resumed = models.PositiveIntegerField(default=0)
    #: Rows, and the checksum that both ends had, by model label.
    counts = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    checksums = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    removed = models.BigIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "move"
        verbose_name_plural = "moves"

    def __str__(self) -> str:
        return f"{self.model} to {self.destination_alias}: {self.status}"


class MoveBatch(models.Model):
    """Rows of one table that were copied together: those with keys in ``(after, upto]``.

    Written before they are, so that after a crash it is known what may have arrived. Gone
    once the move is complete. Stands where its run does.
    """

    class Status(models.TextChoices):
        COPYING = "copying", "copying"
        COPIED = "copied", "copied"
        #: Read back from the destination, and as they were copied.
        VERIFIED = "verified", "verified"
        #: Gone from the source, in the transaction that wrote this.
        REMOVED = "removed", "removed"
        #: Of rows that were new at the destination, and that the source was given.
        BROUGHT = "brought", "brought back"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(MoveRun, on_delete=models.CASCADE, related_name="batches")
    model = models.CharField(max_length=255)
    after = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)
    upto = models.JSONField(encoder=DjangoJSONEncoder)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.COPYING)
    #: The digest of each row as it was copied, by its key, which is JSON.
    digests = models.JSONField(encoder=DjangoJSONEncoder)
    #: Those of rows that are being written again; null for none.
    pending = models.JSONField(encoder=DjangoJSONEncoder, null=True, blank=True)

    class Meta:
        verbose_name = "batch of a move"
        verbose_name_plural = "batches of moves"
        indexes = [models.Index(fields=["run", "model", "status"], name="xdbrel_batch_of_move")]

    def __str__(self) -> str:
        return f"{len(self.digests)} rows of {self.model}: {self.status}"
