"""What a project calls: ``xdbrel.move``. The work is ``service``'s, which needs the models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from xdbrel.moving.result import MoveProgress, MoveResult


def move(
    what: Any,
    to: str,
    *,
    using: str | None = None,
    along: Iterable[Any] = (),
    renumber: bool = False,
    keep_source: bool = False,
    headroom: int = 0,
    dry_run: bool = False,
    batch_size: int | None = None,
    actor: str | None = None,
    on_progress: Callable[[MoveProgress], None] | None = None,
) -> MoveResult:
    """Move rows to the database ``to``, keys kept, and remove them from where they were.

    ``what`` is a queryset, a model (all of its rows, whatever its managers hide), or a list
    of these. ``using`` is where the rows are; by default the database that a queryset names,
    or the model's home. ``along`` are models (classes or labels) whose rows go where they
    point at rows that go, or querysets of what goes besides. Multi-table parents and children
    and automatic many-to-many tables go unasked.

    Rows are copied in batches of ``batch_size``, read back and compared, then removed from the
    source, each batch compared once more. No signal is sent, nothing of ``auto_now`` changes,
    and nothing follows as after a delete. A call that was cut short, at whatever point, is
    gone on with by the same call.

    ``keep_source`` ends after the comparison: both ends stand, and with every further call
    changes of either are carried to the other, until one without it removes the source's.
    ``headroom`` leaves so many keys free at the destination, for what the source is still
    given meanwhile. ``renumber`` gives rows new keys, and all that points at them, where
    theirs are taken at the destination. ``dry_run`` looks, and writes nothing.

    Returns a ``MoveResult``. Raises ``CannotMove`` or ``RowsCollide`` before anything is
    written, and what else ``xdbrel.moving.exceptions`` has; then nothing is lost.
    """
    from xdbrel.moving import service

    return service.move(
        what,
        to,
        using=using,
        along=along,
        renumber=renumber,
        keep_source=keep_source,
        headroom=headroom,
        dry_run=dry_run,
        batch_size=batch_size or service.BATCH,
        actor=actor,
        on_progress=on_progress,
    )
