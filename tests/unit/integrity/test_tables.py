"""How results read in a terminal."""

from xdbrel.integrity.repair import RepairResult
from xdbrel.integrity.scan import ScanResult
from xdbrel.management.commands.xdbrel_repair import text
from xdbrel.management.commands.xdbrel_scan import table


def scanned(relation, orphans=0, distinct_keys=0):
    return ScanResult(relation, "blog", "default", "gaps", orphans, distinct_keys, 0.12345, 7)


def test_table():
    """Columns are aligned, numbers to the right, with one line for the whole."""
    results = [scanned("blog.Post.author", 1234567, 89), scanned("shop.Order.customer")]
    assert table(results).splitlines() == [
        "RELATION             SOURCES IN  TARGETS IN  STRATEGY    ORPHANS  KEYS  SECONDS",
        "blog.Post.author     blog        default     gaps      1,234,567    89    0.123",
        "shop.Order.customer  blog        default     gaps              0     0    0.123",
        "1,234,567 orphans in 1 of 2 relations",
    ]


def test_table_without_relations():
    """A project without relations gets the head and a plain word."""
    assert table([]).splitlines() == [
        "RELATION  SOURCES IN  TARGETS IN  STRATEGY  ORPHANS  KEYS  SECONDS",
        "No orphans in 0 relations",
    ]


def test_repair_text():
    """What a delete took along is listed by model, in order."""
    result = RepairResult(
        relation="blog.Post.author",
        policy="delete",
        dry_run=False,
        run_id=3,
        source_alias="blog",
        target_alias="default",
        keys=20,
        healed=1500,
        rows=1000,
        seconds=0.5,
        counts={"blog.Post": 1000, "blog.Comment": 4},
    )
    assert text(result).splitlines() == [
        "blog.Post.author: 1,000 rows with 20 keys deleted in blog (run 3)",
        "1,500 keys have a target in default again",
        "  blog.Comment: 4",
        "  blog.Post: 1,000",
    ]
