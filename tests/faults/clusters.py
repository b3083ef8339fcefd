"""A PostgreSQL of one's own with a standby that streams from it, for as long as a block runs.

The servers are started in a temporary folder, as a user without privileges where this is
root, and ended by their ids.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

NEEDED = ("initdb", "postgres", "pg_basebackup")
SECONDS = 30.0


def binaries() -> Path | None:
    """Return where PostgreSQL's programs are, the newest; None where they are not."""
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in [*([Path(on_path).resolve().parent] if on_path else []), *folders]:
        if all((folder / name).exists() for name in NEEDED):
            return folder
    return None


def why_not() -> str:
    """Return why no cluster can be made here, or ""."""
    if binaries() is None:
        return f"PostgreSQL's programs are not here ({', '.join(NEEDED)})"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no other user (postgres, nobody)"
    return ""


def _user() -> str | None:
    """Return as whom the servers run; None for whoever this is."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


@contextmanager
def primary_and_standby() -> Iterator[tuple[int, int]]:
    """Run both; yields their ports on 127.0.0.1, for the user postgres, who is trusted."""
    folder = Path(tempfile.mkdtemp(prefix="xdbrel_clusters_"))
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
    try:
        with ExitStack() as servers:
            primary, standby = _free_port(), _free_port()
            _run(
                *("initdb", "--pgdata", folder / "primary", "--username=postgres"),
                *(
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                    "--no-instructions",
                ),
            )
            servers.enter_context(_server(folder / "primary", primary))
            _run(
                *("pg_basebackup", "--pgdata", folder / "standby", "--write-recovery-conf"),
                *("--host=127.0.0.1", f"--port={primary}", "--username=postgres"),
                *("--checkpoint=fast", "--no-sync"),
            )
            servers.enter_context(_server(folder / "standby", standby))
            yield primary, standby
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(data: Path, port: int) -> Iterator[None]:
    with (data.parent / f"{data.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(_program("postgres")), "-D", str(data), "-p", str(port)),
                *("-k", str(data.parent), "-c", "listen_addresses=127.0.0.1"),
                *("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=20"),
            ],
            cwd=data.parent,
            stdout=log,
            stderr=subprocess.STDOUT,
            **_as_user(),
        )
    try:
        _wait_for(port, process, data)
        yield
    finally:
        # At once: nothing of it is kept.
        process.send_signal(signal.SIGQUIT)
        process.wait(SECONDS)


def _wait_for(port: int, process: Any, data: Path) -> None:
    import psycopg

    until = time.monotonic() + SECONDS
    while True:
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user="postgres", dbname="postgres"
            ).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > until:
                log = (data.parent / f"{data.name}.log").read_text()
                raise RuntimeError(f"{error}\n{log}") from error
            time.sleep(0.05)
        else:
            return


def _run(name: str, *arguments: Any) -> None:
    command = [str(_program(name)), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, **_as_user())
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")


def _program(name: str) -> Path:
    folder = binaries()
    assert folder is not None, why_not()
    return folder / name


def _as_user() -> dict[str, Any]:
    user = _user()
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
