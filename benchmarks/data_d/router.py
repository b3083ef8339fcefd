"""What the usual recipe needs besides homes: a router that allows its relation."""

from typing import Any


class RecipeRouter:
    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        names = {type(obj1).__name__, type(obj2).__name__}
        return True if names == {"RecipeUser", "RecipePost"} else None
