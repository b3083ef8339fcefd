"""What lies with a connection while a query of it is run, and is how its compilers know.

Either the compiler of the query, as long as it is run as Django writes it (and watched), or
the ``run.Run`` of one that spans; both know their root.
"""

from __future__ import annotations

from typing import Any

#: The name of the attribute of the connection.
STATE = "_xdbrel_run"


def root_of(compiler: Any) -> Any:
    """Return the compiler of the whole query that ``compiler`` compiles a part of."""
    state = compiler.connection.__dict__.get(STATE)
    return compiler if state is None else getattr(state, "root", state)
