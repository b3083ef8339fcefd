"""Repairs that are killed again and again: every orphan is dealt with once, nothing else.

Owns what is killed and how the rows are judged; ``long_scan`` owns the databases and the
findings that are repaired.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from django.db import connections

POLICIES = ("quarantine", "delete")
BATCH = 20
RELATION = "data_a.Post.author"


def repair(policy: str) -> None:
    """Repair to the end, in steps of a few rows, once whoever died before is given up."""
    from xdbrel import relations
    from xdbrel.integrity.exceptions import RepairUnderWay
    from xdbrel.integrity.repair import repair

    while True:
        try:
            repair(relations.get(RELATION), policy, actor="whoever lives", batch_size=BATCH)
        except RepairUnderWay:
            time.sleep(0.05)
        else:
            return


def kill(arena: Any, policy: str) -> None:
    """Kill one process after another that repairs; judge what the last one leaves."""
    orphans, others = _orphans(), _others()
    kills = 0
    while True:
        enough = kills >= arena.options.kills
        # Most of what a process does before its first batch is to wait.
        life = arena.longest if enough else _claim_seconds() + arena.rng.uniform(0, 0.4)
        if not arena.dies(arena.fork(lambda: repair(policy)), life):
            break
        kills += 1
        if _is_over(policy):
            # It died after its work: another one would begin a repair of its own.
            break
    _judge(arena, policy, kills, orphans)
    wrong = _others() != others or _orphans()
    arena.tell(f"{policy}: what is left", {"orphans": len(_orphans())}, not wrong)


def restore(arena: Any) -> None:
    """Put back what was quarantined, which is all of it."""
    from xdbrel import relations
    from xdbrel.integrity.restore import restore

    restored = restore(relations.get(RELATION), without_targets=True)
    arena.tell("restored", {"rows": restored.rows}, restored.rows > 0)


def _judge(arena: Any, policy: str, kills: int, orphans: dict[int, int]) -> None:
    from xdbrel.models import QuarantinedRow, RepairRun

    (row,) = RepairRun.objects.filter(policy=policy)
    right = (
        row.status == RepairRun.Status.COMPLETE
        and row.actor == "whoever lives"
        and (row.claimed_by, row.until, row.last_error) == ("", None, "")
        # A batch that was committed in the very moment of its death is not counted.
        and len(orphans) - kills * BATCH <= row.rows <= len(orphans)
        and row.counts == {"data_a.Post": row.rows}
        and row.healed == 0
    )
    if policy == "quarantine":
        kept = list(QuarantinedRow.objects.using("posts").values_list("key", "data", "repair"))
        right = (
            right
            and Counter(key for key, _, _ in kept) == Counter(list(orphans))
            and all(int(data["author_id"]) == orphans[key] for key, data, _ in kept)
            and {token for _, _, token in kept} == {row.options["repair"]}
        )
    told = {"killed": kills, "orphans": len(orphans), "counted": row.rows}
    arena.tell(policy, told, right)


def _is_over(policy: str) -> bool:
    from xdbrel.models import RepairRun

    return RepairRun.objects.filter(policy=policy, status=RepairRun.Status.COMPLETE).exists()


def _claim_seconds() -> float:
    from xdbrel.conf import settings

    return settings.CLAIM_SECONDS


def _orphans() -> dict[int, int]:
    """Return the rows without a target by one database's own anti-join: id → key."""
    from benchmarks.data_a.ways import NOT_EXISTS

    with connections["posts"].cursor() as cursor:
        cursor.execute(NOT_EXISTS)
        return dict(cursor.fetchall())


def _others() -> tuple[Any, ...]:
    """Return what would tell if any row with a target was changed."""
    with connections["posts"].cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*), SUM(posts.id), SUM(author_id), SUM(LENGTH(title)) "
            "FROM posts JOIN users ON users.id = author_id"
        )
        return tuple(json.dumps(value, default=str) for value in cursor.fetchone())
