"""What ``make demo`` shows: a worker scanning every relation, reads and deletes that cross.

Each step returns what it found; ``sample_project.report`` puts it into words.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import ProtectedError

from sample_project.blog.models import Note, Post
from sample_project.counting import counted_queries
from sample_project.flights.dataset import ORPHANS
from sample_project.worker_process import Worker, running_worker
from xdbrel import placement, prefetch_cross_db, relations, tasks
from xdbrel.cascade.relay import intent_aliases
from xdbrel.conf import settings as xdbrel_settings
from xdbrel.models import CascadeIntent, Orphan

DEST = "flights.Flight.dest"
LEAVING, STAYING = "ada", "grace"
APPS = ("auth", "blog", "shop", "reference", "flights")

#: Seconds that the worker has for all scans together, starting included.
PATIENCE = 150


@dataclass
class Reading:
    """Lines of texts, read from several databases, and how many statements each answered."""

    lines: list[tuple[str, ...]] = field(default_factory=list)
    queries: dict[str, int] = field(default_factory=dict)


@dataclass
class Findings:
    """What the demo saw."""

    homes: dict[str, dict[str, int]] = field(default_factory=dict)
    scans: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, list[Any]] = field(default_factory=dict)
    edited: Reading = field(default_factory=Reading)
    notes: Reading = field(default_factory=Reading)
    before: dict[str, int] = field(default_factory=dict)
    rolled_back: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    deleted: tuple[int, dict[str, int]] = (0, {})
    refusal: str = ""
    relayed: dict[str, int] = field(default_factory=dict)
    intents: dict[str, dict[str, int]] = field(default_factory=dict)
    rescans: list[dict[str, Any]] = field(default_factory=list)

    def surprises(self) -> list[str]:
        """Return, in words, every figure that is not what it has to be."""
        found = {scan["relation"]: (scan["orphans"], scan["distinct_keys"]) for scan in self.scans}
        surprises = [
            f"{handle}: {found.get(handle)} instead of {expected} (orphans, distinct keys)"
            for handle, expected in ORPHANS.items()
            if found.get(handle) != expected
        ]
        surprises += [
            f"{scan['relation']}: {scan['orphans']} orphans after the delete"
            for scan in self.rescans
            if scan["orphans"]
        ]
        if self.rolled_back != self.before:
            surprises.append("a delete that was rolled back changed something")
        gone = {label: count - self.after[label] for label, count in self.before.items()}
        if self.deleted[1] != {label: count for label, count in gone.items() if count}:
            surprises.append(f"delete() returned {self.deleted}, and {gone} went")
        if not self.refusal:
            surprises.append(f"deleting {STAYING}, who has invoices, was not refused")
        return surprises


def run(say: Callable[[str], Any]) -> Findings:
    """Go through the demo on databases that are prepared, and return what was found."""
    findings = Findings()
    for label, count in rows().items():
        alias = placement.home(apps.get_model(label))
        findings.homes.setdefault(alias, {})[label] = count
    handles = [relation.handle for relation in relations.all_relations()]
    say(f"Handing {len(handles)} scans to the queue ...")
    # Before the worker starts: a queue keeps what nobody has taken yet.
    scans = [tasks.scan.delay(handle) for handle in handles]
    say("Starting a Celery worker in a process of its own ...")
    # It takes what it is handed at once: a broker of files is asked for more once a second.
    with running_worker(settings.VAR / "worker.log", "--prefetch-multiplier=16") as worker:
        say(f"Scanning (worker {worker.pid}) ...")
        findings.scans = worker.results(scans, seconds=PATIENCE)
        findings.missing = {DEST: missing_keys(DEST)}
        findings.edited, findings.notes = edited_posts(), notes()
        delete(findings, say)
        look_after(findings, worker, say)
        say("Stopping the worker ...")
    return findings


def edited_posts() -> Reading:
    """Read the posts that a user edits, filtered through a many-to-many relation, and whose."""
    edited = Post.objects.filter(editors__username=STAYING).order_by("pk")
    with counted_queries() as queries:
        lines = [
            (post.title, post.author.username, ", ".join(sorted(map(str, post.editors.all()))))
            for post in prefetch_cross_db(edited, "author", "editors")
        ]
    return Reading(lines, queries)


def notes() -> Reading:
    """Read the notes, and what they are about: rows of several models of another database."""
    with counted_queries() as queries:
        lines = [
            (note.author.username, note.about._meta.label, str(note.about), note.text)
            for note in prefetch_cross_db(Note.objects.order_by("pk"), "about", "author")
        ]
    return Reading(lines, queries)


def delete(findings: Findings, say: Callable[[str], Any]) -> None:
    """Delete one user and roll back, delete her again for good, and fail to delete another."""
    using = placement.home(User)
    findings.before = rows()
    say(f"Deleting {LEAVING}, and rolling back ...")
    with transaction.atomic(using=using):
        User.objects.get(username=LEAVING).delete()
        transaction.set_rollback(True, using=using)
    findings.rolled_back = rows()
    say(f"Deleting {LEAVING} ...")
    findings.deleted = User.objects.get(username=LEAVING).delete()
    findings.after = rows()
    try:
        User.objects.get(username=STAYING).delete()
    except ProtectedError as error:
        findings.refusal = str(error.args[0])


def look_after(findings: Findings, worker: Worker, say: Callable[[str], Any]) -> None:
    """Let the worker finish what deletes may have left, and scan again what had to follow."""
    say("Relaying, and scanning what points at users and posts once more ...")
    findings.relayed = worker.results([tasks.relay.delay()], seconds=PATIENCE)[0]
    again = [
        tasks.scan.delay(relation.handle)
        for relation in relations.all_relations()
        if relation.target in (User, Post)
    ]
    findings.rescans = worker.results(again, seconds=PATIENCE)
    for alias in intent_aliases():
        held = CascadeIntent.objects.using(alias)
        findings.intents[alias] = {
            status.label: count
            for status in CascadeIntent.Status
            if (count := held.filter(status=status).count())
        }


def rows() -> dict[str, int]:
    """Return the number of rows of every model of the sample, by label."""
    return {
        model._meta.label: model._base_manager.using(placement.home(model)).count()
        for label in APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
        if label != "auth" or model is User
    }


def missing_keys(handle: str) -> list[Any]:
    """Return the keys that the latest scan of a relation found without a target, sorted."""
    findings = Orphan.objects.using(xdbrel_settings.INTEGRITY_DATABASE)
    latest = findings.filter(run__relation=handle).order_by("-run__started_at", "-run__id").first()
    if latest is None:
        return []
    return sorted(findings.filter(run=latest.run_id).values_list("key", flat=True))
