"""Routers of projects that have grown: each says little, or forbids."""


class MigrationsOnly:
    """Says where tables are and nothing else."""

    def allow_migrate(self, db, app_label, **hints):
        if db in ("blog", "shop") or app_label in ("blog", "shop"):
            return db == app_label
        return None


class BlogOnly(MigrationsOnly):
    """Speaks for ``blog``, is silent about everything else, defines no allow_relation."""

    def db_for_read(self, model, **hints):
        return "blog" if model._meta.app_label == "blog" else None

    db_for_write = db_for_read


class Forbids(BlogOnly):
    def allow_relation(self, obj1, obj2, **hints):
        return False


class NoOpinion(BlogOnly):
    def allow_relation(self, obj1, obj2, **hints):
        return None


class ReadsUsersFromAReplica:
    """``shop`` stands in for a replica that has not followed yet."""

    def db_for_read(self, model, **hints):
        return "shop" if model._meta.label == "auth.User" else None
