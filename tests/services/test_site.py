"""The site, as ``make serve`` runs it."""

import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from sample_project.worker_process import ROOT
from tests.services.test_demo import archive

__all__ = ["archive"]

SECONDS = 120


@pytest.fixture
def site(archive, tmp_path):
    """The address of a server with files of its own, and what it printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", ROOT / "sample_project" / "manage.py", "serve", address],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "sample_project.settings",
                "SAMPLE_VAR": str(tmp_path),
                "SAMPLE_SERVICES": "",
                "SAMPLE_REDIS_URL": "",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + SECONDS
        while not answers(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield f"http://{address}", log
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(address):
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_site(site):
    """Its pages are there, styled, and the login that it prints opens the admin."""
    url, log = site
    printed = re.search(rf"{url}/  \(admin: user (\w+), password (\w+)\)", log.read_text())
    assert printed
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )

    def get(path, **data):
        body = urllib.parse.urlencode(data).encode() if data else None
        with browser.open(url + path, body, timeout=SECONDS) as response:
            return response.read().decode()

    flights = get("/flights/?page=2")
    assert re.search(r'<span class="count">flights_db 2</span>', flights)
    assert "Page 2 of 6736" in flights
    found = get("/search/?manufacturer=AIRBUS&airport=los+angeles&delay=60")
    assert "232 flights, by airline." in found
    assert "reference.Plane along flights.Flight.plane" in found
    (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', flights)
    assert "prefers-color-scheme: dark" in get(style)
    assert "Notes of radia" in get("/posts/")
    assert "Posts that grace edits" in get("/posts/?editor=grace")
    assert "N14228 (BOEING 737-824)" in get("/notes/")
    assert "flights.Flight.plane" in get("/")

    login = get("/admin/login/?next=/admin/flights/flight/")
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', login)
    page = get(
        "/admin/login/?next=/admin/flights/flight/",
        csrfmiddlewaretoken=token,
        username=printed[1],
        password=printed[2],
    )
    assert "Select flight to change" in page
    assert "Endeavor Air Inc." in page
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get("/nowhere/")
