"""What a router of the project itself says, before the one that reads ``XDBREL["HOMES"]``."""


class LegacyRouter:
    """Users and books of old have tables of their own."""

    def db_for_read(self, model, instance=None, **hints):
        if model._meta.app_label == "press" and instance is not None:
            # What belongs to books of old is with them, as without routers.
            return "legacy_users" if instance._state.db == "legacy_users" else None
        return None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        if db == "legacy_users":
            return app_label in ("admin", "auth", "contenttypes", "press")
        if hints.get("only") is not None:
            # What a RunPython says of itself.
            return db == hints["only"]
        return None
