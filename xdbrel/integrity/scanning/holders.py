"""Who holds a scan or a part of it: a name by which a process that died is told.

Owns the name and what can be seen from it. What is held is for ``leases`` and ``claims``.
"""

from __future__ import annotations

import os
import socket
import uuid


def name() -> str:
    """Return a new holder's name: this machine, this process, and what makes it unique."""
    return f"{_machine()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def has_died(holder: str) -> bool:
    """Tell whether ``holder`` was a process of this machine that is not there any more.

    Spares whoever starts a killed scan again the wait for its lease to expire. Of another
    machine's processes nothing is known; where two machines have one name, what a holder
    writes is refused once somebody else has taken over, so that no harm is done.
    """
    machine, _, rest = holder.partition(":")
    pid, _, _ = rest.partition(":")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def shown(holder: str) -> str:
    """Return the holder for a message: ``process 7 on this-machine``."""
    machine, _, rest = holder.partition(":")
    pid, _, _ = rest.partition(":")
    return f"process {pid} on {machine}" if pid else holder


def _machine() -> str:
    return socket.gethostname()[:32].replace(":", "_")
