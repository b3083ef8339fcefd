"""The Django app: connects the parts that may only meet once every model is loaded."""

from django.apps import AppConfig
from django.core.signals import request_started
from django.db.models.signals import post_migrate, pre_migrate


class XdbrelConfig(AppConfig):
    name = "xdbrel"
    verbose_name = "Cross-database relations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from xdbrel import caching, checks, constraints, routers  # noqa: F401  (checks registers itself)
        from xdbrel.cascade import dispatch, key_changes, key_watch, plan, raw_delete
        from xdbrel.cascade.triggers import migrating
        from xdbrel.content_types import connect
        from xdbrel.fields import adoption, fixtures, on_delete, through_tables
        from xdbrel.query import hook

        # First: what follows looks at the relations that there are.
        adoption.adopt_all()
        constraints.install()
        fixtures.install()
        through_tables.install()
        connect()
        on_delete.collect = plan.collect
        dispatch.catch_up = key_changes.catch_up
        raw_delete.install()
        key_watch.install()
        hook.install()
        caching.guard()
        # A request begins without the writes of the one that this thread served before.
        request_started.connect(routers.reset_writes, dispatch_uid="xdbrel.reset_writes")
        # As senders, so that each is called once for a database and not once for each app.
        pre_migrate.connect(migrating.before, sender=self, dispatch_uid="xdbrel.triggers")
        post_migrate.connect(migrating.after, sender=self, dispatch_uid="xdbrel.triggers")
