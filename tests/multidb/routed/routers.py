"""The two routers of the example on Django's page: they do what those do, in this order."""

import random

AUTH_APPS = {"auth", "contenttypes"}
POOL = {"primary", "replica1", "replica2"}


class AuthRouter:
    """Users, groups, permissions and content types are in ``auth_db``."""

    def db_for_read(self, model, **hints):
        return "auth_db" if model._meta.app_label in AUTH_APPS else None

    db_for_write = db_for_read

    def allow_relation(self, obj1, obj2, **hints):
        return True if {obj1._meta.app_label, obj2._meta.app_label} & AUTH_APPS else None

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return db == "auth_db" if app_label in AUTH_APPS else None


class PrimaryReplicaRouter:
    """Everything is written to the primary and read from either replica, and may be anywhere."""

    def db_for_read(self, model, **hints):
        return random.choice(["replica1", "replica2"])

    def db_for_write(self, model, **hints):
        return "primary"

    def allow_relation(self, obj1, obj2, **hints):
        return True if {obj1._state.db, obj2._state.db} <= POOL else None

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return True
