"""What people do by hand today for relations between databases, done with xdbrel.

Each test is named after a heading of the common recipe, which adds ``db_constraint=False``
to a plain ForeignKey and does the rest by signals, sets of ids and caches. Each is shorter
than there, and shows that the recipe's fault is not there any more.
"""

import importlib
import io
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.models import ProtectedError

from sample_project.blog.models import Comment, Post
from sample_project.counting import counted_queries
from sample_project.shop.models import Category, Invoice, Order, Product, Profile, Review
from xdbrel import relations
from xdbrel.integrity.repair import repair
from xdbrel.integrity.scan import scan
from xdbrel.prefetch import prefetch_cross_db

pytestmark = pytest.mark.django_db(databases="__all__")
durable = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def user():
    return User.objects.create_user("john", "john@example.com", "secure_password")


def posts(author, number=1):
    return [Post.objects.create(title=f"Post {n}", author=author) for n in range(number)]


def foreign_keys(using, model):
    """Return the columns of ``model`` that have a constraint in the database."""
    connection = connections[using]
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
    return {
        column
        for constraint in constraints.values()
        if constraint["foreign_key"]
        for column in constraint["columns"]
    }


def test_creating_objects(user):
    """An object takes its target from another database, and goes to its own."""
    post = Post.objects.create(title="Hello World", content="It works!", author=user)
    order = Order.objects.create(order_number="ORD-001", customer=user, total=Decimal("99.99"))
    assert (user._state.db, post._state.db, order._state.db) == ("default", "blog_db", "shop_db")


def test_accessing_relationships(user):
    """Both directions are read where the rows are, with nothing routed by hand."""
    (post,) = posts(user)
    order = Order.objects.create(order_number="ORD-001", customer=user, total=1)
    assert Post.objects.get(pk=post.pk).author.username == "john"
    assert list(User.objects.get(pk=user.pk).blog_posts.all()) == [post]
    assert list(user.orders.all()) == [order]


def test_django_handles_it(user):
    """Post and author cost one query each, in the database that holds them."""
    (post,) = posts(user)
    with counted_queries() as queries:
        assert Post.objects.get(pk=post.pk).author == user
    assert queries == {"blog_db": 1, "default": 1}


@durable
def test_django_signals_for_cascade_deletes(user):
    """Deleting follows into every database without a signal handler, and after the commit.

    The recipe's ``pre_delete`` receiver deletes in the other databases before the user
    is gone, and a rollback brings back the user alone.
    """
    Comment.objects.create(post=posts(user)[0], author=user)
    Order.objects.create(order_number="ORD-001", customer=user, total=1)
    with transaction.atomic(using="default"):
        user.delete()
        assert Post.objects.count() == 1
        transaction.set_rollback(True, using="default")
    assert (Post.objects.count(), Comment.objects.count(), Order.objects.count()) == (1, 1, 1)

    total, counts = User.objects.get().delete()
    assert (total, counts) == (
        4,
        {"auth.User": 1, "blog.Post": 1, "blog.Comment": 1, "shop.Order": 1},
    )
    assert (Post.objects.count(), Comment.objects.count(), Order.objects.count()) == (0, 0, 0)


@durable
def test_on_delete_is_what_it_says(user):
    """Every policy holds across databases; the recipe's CASCADE fails in Django's collector."""
    product = Product.objects.create(
        name="Probe", price=24, category=Category.objects.create(name="Tools")
    )
    review = Review.objects.create(product=product, author=user, text="Fine.")
    Profile.objects.create(user=user)
    invoice = Invoice.objects.create(order_number="ORD-001", customer=user)
    with pytest.raises(ProtectedError):
        user.delete()
    assert Profile.objects.count() == 1

    invoice.delete()
    user.delete()
    review.refresh_from_db()
    assert review.author_id is None
    assert not Profile.objects.exists()


def test_periodic_cleanup_job(user, settings):
    """A scan and a repair, in bounded memory, where the recipe loads the id of every user."""
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 0, "MAX_ORPHAN_SHARE": 1}
    kept, *_ = posts(user)
    gone = [Post.objects.create(title="Left behind", author_id=user.pk + n) for n in (1, 1, 2)]
    Comment.objects.create(post=gone[0], author=user)
    relation = relations.get("blog.Post.author")

    assert scan(relation).orphans == 3
    result = repair(relation, policy="delete")
    assert result.counts == {"blog.Post": 3, "blog.Comment": 1}
    assert list(Post.objects.all()) == [kept]


def test_application_level_validation(user):
    """Validating a post looks for its author where authors are."""
    Post(title="Hello", content="…", author=user).full_clean()
    with pytest.raises(ValidationError) as caught:
        Post(title="Hello", content="…", author_id=user.pk + 1).full_clean()
    assert caught.value.message_dict == {
        "author": [f"user instance with id {user.pk + 1} is not a valid choice."]
    }


@durable
def test_database_constraints_when_possible(user):
    """Inside one database, a plain ForeignKey keeps its constraint."""
    with pytest.raises(IntegrityError):
        Comment.objects.create(post_id=404, author=user)
    assert foreign_keys("blog_db", Comment) == {"post_id"}


def test_n_plus_1_query_problem_across_databases(user):
    """Posts with their authors are two queries, however many posts there are."""
    posts(user, 5)
    with counted_queries() as queries:
        found = list(prefetch_cross_db(Post.objects.all(), "author"))
        assert {post.author.username for post in found} == {"john"}
    assert queries == {"blog_db": 1, "default": 1}


def test_select_related_doesnt_work(user):
    """What select_related() is wanted for, several steps in several databases, is one call."""
    (post,) = posts(user)
    Comment.objects.create(post=post, author=user, content="First!")
    Profile.objects.create(user=user, city="Nuenen")
    with counted_queries() as queries:
        (found,) = prefetch_cross_db(Comment.objects.select_related("post"), "author__profile")
        assert (found.post.title, found.author.profile.city) == ("Post 0", "Nuenen")
    assert queries == {"blog_db": 1, "default": 1, "shop_db": 1}


@durable
def test_cache_cross_database_lookups(user, cached):
    """With django-cachalot a look-up is answered from the cache, and never stale.

    The recipe keeps the pickled author for an hour, whatever becomes of her.
    """
    (post,) = posts(user)
    assert Post.objects.get(pk=post.pk).author.email == "john@example.com"
    with counted_queries() as queries:
        assert Post.objects.get(pk=post.pk).author.email == "john@example.com"
    assert queries == {}

    User.objects.filter(pk=user.pk).update(email="new@example.com")
    assert Post.objects.get(pk=post.pk).author.email == "new@example.com"
    user.delete()
    assert not Post.objects.filter(pk=post.pk).exists()


def test_when_db_constraint_false_is_required():
    """Never: the field knows that no database can enforce it, whatever it is asked for."""
    field = Post._meta.get_field("author")
    assert field.db_constraint is False
    assert foreign_keys("blog_db", Post) == set()
    asked = type(field)("auth.User", on_delete=field.policy, db_constraint=True)
    assert asked.db_constraint is False


def test_migration_example():
    """The migration is what makemigrations writes; there is nothing to add by hand."""
    module = importlib.import_module("sample_project.blog.migrations.0001_initial")
    (create_post, _) = module.Migration.operations
    _, path, _, options = dict(create_post.fields)["author"].deconstruct()
    assert path == "xdbrel.CrossDBForeignKey"
    assert "db_constraint" not in options
    output = io.StringIO()
    call_command("makemigrations", check_changes=True, dry_run=True, stdout=output)
    assert output.getvalue() == "No changes detected\n"


def test_error_relation_auth_user_does_not_exist():
    """blog_db was migrated without the users' table, and nothing asked for it."""
    tables = connections["blog_db"].introspection.table_names()
    assert "blog_post" in tables
    assert "auth_user" not in tables


def test_orphaned_records(user):
    """The check is one call, and names the keys."""
    posts(user)
    Post.objects.create(title="Left behind", author_id=user.pk + 7)
    result = scan(relations.get("blog.Post.author"))
    assert (result.orphans, result.distinct_keys) == (1, 1)
