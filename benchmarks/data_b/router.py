"""Routes every model to its home on the server that is being measured."""

PLACES = {
    "user": "users",
    "comment": "users",
    "plaincomment": "users",
    "post": "posts",
    "plainpost": "posts",
}


class Router:
    #: Which of the two servers: ``postgresql`` or ``sqlite``.
    engine = "postgresql"

    def db_for_read(self, model, **hints):
        return f"{Router.engine}_{PLACES[model._meta.model_name]}"

    db_for_write = db_for_read

    def allow_relation(self, obj1, obj2, **hints):
        return True

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return db in (f"{Router.engine}_{PLACES[model_name]}", f"{Router.engine}_one")
