"""The admin of xdbrel's own rows, and the base class for admins of models with relations.

Django's admin imports this module where it is installed; nothing else of xdbrel does.

``model_admin``  ``CrossDBModelAdmin``: lists that never join across databases
``rows``         intents, paused relations, scan runs and orphans, to be read and acted upon
"""

from django.contrib import admin

from xdbrel.admin.model_admin import CrossDBModelAdmin
from xdbrel.admin.rows import (
    CascadeIntentAdmin,
    OrphanAdmin,
    PausedRelationAdmin,
    ScanRunAdmin,
)
from xdbrel.models import CascadeIntent, Orphan, PausedRelation, ScanRun

__all__ = [
    "CascadeIntentAdmin",
    "CrossDBModelAdmin",
    "OrphanAdmin",
    "PausedRelationAdmin",
    "ScanRunAdmin",
]

admin.site.register(CascadeIntent, CascadeIntentAdmin)
admin.site.register(PausedRelation, PausedRelationAdmin)
admin.site.register(ScanRun, ScanRunAdmin)
admin.site.register(Orphan, OrphanAdmin)
