"""The hook for traces: what a service does can be watched, at no cost where nobody does.

Owns the hook alone. What stands behind it is ``xdbrel.contrib.opentelemetry``'s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Watcher(Protocol):
    """What is called round a service: with its name and what it is about."""

    def __call__(
        self, action: str, about: Mapping[str, str]
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        """Return a block for the service to run in; it yields what takes its result."""


_watcher: Watcher | None = None


def watch(watcher: Watcher | None) -> None:
    """Let ``watcher`` see every service from now on; None for nobody."""
    global _watcher
    _watcher = watcher


def watched(action: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a service be watched under this name.

    Told are the relation, where it is the first argument, the alias, where it is named as
    ``using``, and the result's ``as_dict()``.
    """

    def decorate(service: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(service)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if _watcher is None:
                return service(*args, **kwargs)
            with _watcher(action, _about(args, kwargs)) as tell:
                result = service(*args, **kwargs)
                as_dict = getattr(result, "as_dict", None)
                if as_dict is not None:
                    tell(as_dict())
                return result

        return run

    return decorate


def _about(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, str]:
    about = {}
    first = args[0] if args else kwargs.get("relation")
    # A run has its relation's handle.
    handle = getattr(first, "handle", None) or getattr(first, "relation", None)
    if handle is not None:
        about["relation"] = handle
    if kwargs.get("using"):
        about["alias"] = kwargs["using"]
    return about
