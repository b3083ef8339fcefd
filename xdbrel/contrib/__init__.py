"""Integrations with what a project may have besides, each behind an extra of its own.

Nothing else of xdbrel imports these modules, and each imports its library at once: who
imports one without the extra is told how to install it.

``prometheus``     the figures of ``xdbrel_status`` as metrics (``xdbrel[prometheus]``)
``opentelemetry``  spans of scans, relays and repairs (``xdbrel[opentelemetry]``)
``json_logs``      log records as lines of JSON; needs nothing
"""
