"""Spans of what xdbrel does, for OpenTelemetry; needs ``xdbrel[opentelemetry]``.

``instrument()``, called once where the project sets up its traces, gives a span to every
scan, part of a shared scan, second look, relay, prune, repair and restore: ``xdbrel.scan``
and so on, with the relation, the alias and the figures of the result as attributes. An error
is recorded with its span. Row contents are in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from xdbrel import __version__, tracing

try:
    from opentelemetry import trace
except ImportError as error:
    raise ImportError(
        "xdbrel.contrib.opentelemetry needs opentelemetry-api: pip install 'xdbrel[opentelemetry]'"
    ) from error


def instrument(tracer_provider: trace.TracerProvider | None = None) -> None:
    """Make spans from now on, with the given provider or else the process's own."""
    tracer = trace.get_tracer("xdbrel", __version__, tracer_provider)

    @contextmanager
    def span_of(
        action: str, about: Mapping[str, str]
    ) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        given = {f"xdbrel.{name}": value for name, value in about.items()}
        with tracer.start_as_current_span(f"xdbrel.{action}", attributes=given) as span:

            def tell(result: Mapping[str, Any]) -> None:
                span.set_attributes(
                    {
                        f"xdbrel.{name}": value
                        for name, value in result.items()
                        if isinstance(value, (bool, int, float, str))
                    }
                )

            yield tell

    tracing.watch(span_of)


def uninstrument() -> None:
    """Make no more spans."""
    tracing.watch(None)
