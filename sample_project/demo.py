"""What ``make demo`` shows: a worker scanning every relation, and deletes that cross.

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

from sample_project.flights.dataset import ORPHANS
from sample_project.worker_process import Worker, running_worker
from xdbrel import placement, relations, tasks
from xdbrel.cascade.relay import intent_aliases
from xdbrel.conf import settings as xdbrel_settings
from xdbrel.models import CascadeIntent, Orphan

DEST = "flights.Flight.dest"
LEAVING, STAYING = "ada", "grace"
APPS = ("auth", "blog", "shop", "reference", "flights")

#: Seconds that the worker has for all scans together, starting included.
PATIENCE = 150


@dataclass
class Findings:
    """What the demo saw."""

    homes: dict[str, dict[str, int]] = field(default_factory=dict)
    scans: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, list[Any]] = field(default_factory=dict)
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
    with running_worker(settings.VAR / "worker.log") as worker:
        say(f"Scanning (worker {worker.pid}) ...")
        findings.scans = worker.results(scans, seconds=PATIENCE)
        findings.missing = {DEST: missing_keys(DEST)}
        delete(findings, say)
        look_after(findings, worker, say)
        say("Stopping the worker ...")
    return findings


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
    """Let the worker finish what deletes may have left, and scan what points at users."""
    say("Relaying, and scanning what points at users once more ...")
    findings.relayed = worker.results([tasks.relay.delay()], seconds=PATIENCE)[0]
    again = [
        tasks.scan.delay(relation.handle)
        for relation in relations.all_relations()
        if relation.target is User
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
        for model in apps.get_app_config(label).get_models()
        if label != "auth" or model is User
    }


def missing_keys(handle: str) -> list[Any]:
    """Return the keys that the latest scan of a relation found without a target, sorted."""
    findings = Orphan.objects.using(xdbrel_settings.INTEGRITY_DATABASE)
    latest = findings.filter(run__relation=handle).order_by("-run__started_at", "-run__id").first()
    if latest is None:
        return []
    return sorted(findings.filter(run=latest.run_id).values_list("key", flat=True))
