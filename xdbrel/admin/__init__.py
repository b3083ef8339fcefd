"""The admin of xdbrel's own rows, and the base class for admins of models with relations.

Django's admin imports this module where it is installed; nothing else of xdbrel does.

``model_admin``  ``CrossDBModelAdmin``: lists that never join across databases
``rows``         the rows that xdbrel owns, to be read and acted upon
"""

from django.contrib import admin

from xdbrel.admin.model_admin import CrossDBModelAdmin
from xdbrel.admin.rows import (
    CascadeIntentAdmin,
    HeartbeatAdmin,
    MoveRunAdmin,
    OrphanAdmin,
    PausedRelationAdmin,
    QuarantinedRowAdmin,
    RepairRunAdmin,
    ScanRunAdmin,
)
from xdbrel.models import (
    CascadeIntent,
    Heartbeat,
    MoveRun,
    Orphan,
    PausedRelation,
    QuarantinedRow,
    RepairRun,
    ScanRun,
)

__all__ = [
    "CascadeIntentAdmin",
    "CrossDBModelAdmin",
    "HeartbeatAdmin",
    "MoveRunAdmin",
    "OrphanAdmin",
    "PausedRelationAdmin",
    "QuarantinedRowAdmin",
    "RepairRunAdmin",
    "ScanRunAdmin",
]

admin.site.register(CascadeIntent, CascadeIntentAdmin)
admin.site.register(PausedRelation, PausedRelationAdmin)
admin.site.register(ScanRun, ScanRunAdmin)
admin.site.register(Orphan, OrphanAdmin)
admin.site.register(RepairRun, RepairRunAdmin)
admin.site.register(QuarantinedRow, QuarantinedRowAdmin)
admin.site.register(Heartbeat, HeartbeatAdmin)
admin.site.register(MoveRun, MoveRunAdmin)
