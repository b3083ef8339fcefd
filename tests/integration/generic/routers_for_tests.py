"""Routers by which content types stand elsewhere than in ``default`` alone."""


class TypesEverywhere:
    """Content types stand in every database, as where no router says anything of them."""

    def allow_migrate(self, db, app_label, **hints):
        return True if app_label == "contenttypes" else None


class TypesInShop:
    """Content types are at home in ``shop``, beside neither notes nor things."""

    def _alias(self, model, **hints):
        return "shop" if model._meta.app_label == "contenttypes" else None

    db_for_read = db_for_write = _alias

    def allow_migrate(self, db, app_label, **hints):
        return db == "shop" if app_label == "contenttypes" else None
