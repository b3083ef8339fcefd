"""The signals that xdbrel sends.

The sender is always the source model. Receivers are called with ``send_robust``: a
receiver that fails is logged and never undoes or holds up integrity work.
"""

import django.dispatch

#: A delete was planned: ``relation``, ``keys`` (of the targets), ``using`` (target's alias).
cascade_planned = django.dispatch.Signal()

#: A cascade reached the sources: ``relation``, ``keys``, ``using`` (source's alias),
#: ``counts`` (rows by model label).
cascade_applied = django.dispatch.Signal()

#: A cascade could not be applied and will be tried again: ``relation``, ``keys``, ``using``
#: (source's alias), ``error``.
cascade_failed = django.dispatch.Signal()

#: A scan found orphans: ``relation``, ``run`` (the ScanRun), ``orphans``, ``distinct_keys``.
orphans_found = django.dispatch.Signal()
