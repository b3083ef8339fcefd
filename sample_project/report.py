"""The demo's findings, as a report for a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from django.db import connections

from sample_project.demo import LEAVING, STAYING, Findings, Reading
from xdbrel import relations


def report(findings: Findings) -> Iterator[str]:
    """Yield the report's lines."""
    yield from title("Where the rows live")
    yield from table(
        ("database", "server", "rows"),
        (
            (
                alias,
                connections[alias].display_name,
                ", ".join(f"{label} {count:,}" for label, count in models.items()),
            )
            for alias, models in findings.homes.items()
        ),
    )
    yield from title("Relations, and what the Celery worker's scans found")
    policies = {relation.handle: relation.policy for relation in relations.all_relations()}
    yield from table(
        ("relation", "from", "to", "on delete", "strategy", "orphans", "keys", "seconds"),
        (
            (
                scan["relation"],
                scan["source_alias"],
                scan["target_alias"],
                policies[scan["relation"]],
                scan["strategy"],
                f"{scan['orphans']:,}",
                f"{scan['distinct_keys']:,}",
                f"{scan['seconds']:.2f}",
            )
            for scan in findings.scans
        ),
        right=(5, 6, 7),
    )
    for handle, keys in findings.missing.items():
        yield f"  {handle} has no target for {', '.join(map(str, keys))}."
    yield from title(f"The posts that {STAYING} edits: a many-to-many relation")
    yield from table(("post", "author", "editors"), findings.edited.lines)
    yield f"  Filtered by an editor's name, and prefetched, by {statements(findings.edited)}."
    yield from title("Notes: a generic relation")
    yield from table(("note of", "on", "which is", "text"), findings.notes.lines)
    yield f"  Read, and prefetched, by {statements(findings.notes)}."
    yield from title(f"Deleting the user {LEAVING}")
    yield from table(
        ("table", "before", "rolled back", "deleted"),
        (
            (
                label,
                f"{count:,}",
                f"{findings.rolled_back[label]:,}",
                f"{findings.after[label]:,}",
            )
            for label, count in findings.before.items()
            if count != findings.after[label] or count != findings.rolled_back[label]
        ),
        right=(1, 2, 3),
    )
    total, counts = findings.deleted
    yield f"  delete() returned {total}: " + ", ".join(
        f"{label} {count}" for label, count in counts.items()
    )
    yield "  Her reviews stay; their author is NULL now (SET_NULL)."
    orphans = sum(scan["orphans"] for scan in findings.rescans)
    yield (
        f"  {len(findings.rescans)} relations to users and posts scanned again: {orphans} orphans."
    )
    yield from title(f"Deleting the user {STAYING} is refused")
    yield f"  {findings.refusal}"
    yield from title("Intents, which outlive a crash between two commits")
    yield from table(
        ("database", "intents"),
        (
            (alias, ", ".join(f"{count} {status}" for status, count in states.items()) or "none")
            for alias, states in findings.intents.items()
        ),
    )
    yield f"  The relay had {findings.relayed['applied']} left to apply."
    yield from title("What to try next")
    yield "  make serve     the site: posts, notes, flights across databases, and the admin,"
    yield "                 whose delete page lists what would go in every database"
    yield "  make demo      once more: nothing is loaded twice, and the user is back first"
    yield "  SAMPLE_SERVICES=1 make demo   on PostgreSQL, MariaDB and Redis"
    surprises = findings.surprises()
    yield ""
    if surprises:
        yield "NOT AS IT SHOULD BE"
        yield from (f"  {line}" for line in surprises)
    else:
        yield "Every figure is what it has to be: 50,094 flights name 721 planes, 7,602 name 4"
        yield "airports and 1,556 the weather of 108 hours, that the published anti-joins of this"
        yield "data set miss as well."


def statements(reading: Reading) -> str:
    """Return how many statements each database answered, in words."""
    return "statements to " + ", ".join(
        f"{alias} ({count})" for alias, count in reading.queries.items()
    )


def title(text: str) -> Iterator[str]:
    yield ""
    yield text
    yield "=" * len(text)


def table(
    head: Sequence[str], lines: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> Iterator[str]:
    """Yield the lines in columns as wide as they need to be."""
    grid = [head, *lines]
    widths = [max(len(line[column]) for line in grid) for column in range(len(head))]
    for line in grid:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield ("  " + "  ".join(cells)).rstrip()
