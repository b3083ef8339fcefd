"""Users and posts over the same two tables, by who joins them.

``Post`` and ``User`` are xdbrel's, in two databases; ``PlainPost`` is what the recipes by
hand read there. ``One…`` stand in the one database, and ``Fdw…`` in that of the posts, where
the users are a foreign table.
"""

from django.db import models

from xdbrel import CrossDBForeignKey


class BaseUser(models.Model):
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()
    created_at = models.DateTimeField()

    class Meta:
        abstract = True
        managed = False


class BasePost(models.Model):
    title = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        abstract = True
        managed = False
        db_table = "data_c_post"


def _key(to: type[models.Model]) -> models.ForeignKey:
    return models.ForeignKey(to, models.CASCADE, related_name="+", db_constraint=False)


class User(BaseUser):
    class Meta(BaseUser.Meta):
        db_table = "data_c_user"


class OneUser(BaseUser):
    class Meta(BaseUser.Meta):
        db_table = "data_c_user"


class FdwUser(BaseUser):
    class Meta(BaseUser.Meta):
        db_table = "data_c_foreignuser"


class Post(BasePost):
    author = CrossDBForeignKey(User, on_delete=models.CASCADE, related_name="posts")


class PlainPost(BasePost):
    author = _key(User)


class OnePost(BasePost):
    author = _key(OneUser)


class FdwPost(BasePost):
    author = _key(FdwUser)
