"""Keys of targets that change: refused, followed, or left behind (``on_update``)."""

from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    connections,
    models,
    transaction,
)
from django.db.models import F, Q, Value, sql
from django.db.models.functions import Cast, Concat, Lower, Random, Substr
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import xdbrel
from tests.apps.codes.models import (
    Card,
    Course,
    Currency,
    Mark,
    Note,
    Pin,
    Price,
    Rank,
    Subject,
    SubjectProxy,
    Wallet,
)
from tests.apps.people.models import Person
from xdbrel.cascade import key_changes, key_watch
from xdbrel.cascade.relay import relay
from xdbrel.exceptions import DeleteRolledBack, KeyInUse, XdbrelError
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")


class Boom(Exception):
    pass


class Away:
    """A database that takes no writes."""

    def __init__(self, alias):
        self.alias = alias

    def __enter__(self):
        self.wrapper = connections[self.alias].execute_wrapper(self._refuse)
        self.wrapper.__enter__()

    def __exit__(self, *args):
        self.wrapper.__exit__(*args)

    def _refuse(self, execute, sql, params, many, context):
        if sql.startswith(("UPDATE", "DELETE")):
            raise DatabaseError(f"{self.alias} is away")
        return execute(sql, params, many, context)


@pytest.fixture
def ada():
    return Subject.objects.create(slug="ada", number=1)


@pytest.fixture
def note(ada):
    return Note.objects.create(subject=ada)


def slugs():
    return sorted(Note.objects.values_list("subject_id", flat=True))


def changes(relation="codes.Note.subject"):
    return CascadeIntent.objects.using("default").filter(relation=relation, new_keys__isnull=False)


def by_save(subject):
    subject.slug = "eve"
    subject.save()


def by_update_fields(subject):
    subject.slug = "eve"
    subject.save(update_fields=["slug"])


def by_raw_save(subject):
    subject.slug = "eve"
    subject.save_base(raw=True)


def by_update(subject):
    assert Subject.objects.filter(pk=subject.pk).update(slug="eve") == 1


def by_expression(subject):
    Subject.objects.filter(slug="ada").update(slug=Concat(Value("ev"), Value("e")), title="x")


def by_bulk_update(subject):
    subject.slug = "eve"
    assert Subject.objects.bulk_update([subject], ["slug", "title"]) == 1


def by_proxy(subject):
    SubjectProxy.objects.filter(pk=subject.pk).update(slug="eve")


def by_join(subject):
    """The conditions lead to another table."""
    Course.objects.create(slug="other")
    chosen = Subject.objects.filter(Q(course__isnull=True) | Q(course__hours=77))
    assert chosen.exclude(slug="bob").update(slug="eve") == 1


def by_groups(subject):
    chosen = Subject.objects.annotate(n=models.Count("course")).filter(n=0)
    chosen = chosen.exclude(slug="bob").order_by("title")
    assert chosen.distinct().update(slug="eve") == 1


def by_update_or_create(subject):
    Subject.objects.update_or_create(number=1, defaults={"slug": "eve"})


WAYS = [
    by_save,
    by_update_fields,
    by_raw_save,
    by_update,
    by_expression,
    by_bulk_update,
    by_proxy,
    by_join,
    by_groups,
    by_update_or_create,
]


@pytest.mark.parametrize("way", WAYS)
def test_sources_follow(ada, note, way):
    other = Note.objects.create(subject=Subject.objects.create(slug="bob"))
    way(ada)
    assert slugs() == sorted(["eve", other.subject_id])
    intent = changes().get()
    assert (intent.keys, intent.new_keys, intent.status) == (["ada"], ["eve"], Status.APPLIED)
    assert note.pk == Note.objects.get(subject_id="eve").pk


@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_refused(ada, way):
    pin = Pin.objects.create(subject=ada)
    Pin.objects.create(subject=ada)
    with pytest.raises(KeyInUse) as caught:
        way(ada)
    assert str(caught.value) == (
        "codes.Pin.subject: the key 'ada' of codes.Subject in database 'default' cannot become "
        f"'eve' while 2 codes.Pin in database 'shop' hold it, {pin.pk!r} the first; nothing was "
        "written. Give these another key first, or declare the field with "
        "on_update=models.CASCADE to let them follow."
    )
    assert isinstance(caught.value, IntegrityError)
    assert isinstance(caught.value, XdbrelError)
    error = caught.value
    assert (error.relation, error.using, error.source_alias) == (
        "codes.Pin.subject",
        "default",
        "shop",
    )
    assert (error.old, error.new, error.sources, error.first) == ("ada", "eve", 2, pin.pk)
    assert Subject.objects.filter(slug="ada").exists()
    assert not CascadeIntent.objects.using("default").exists()


def test_a_refusal_leaves_those_that_would_follow(ada, note):
    Pin.objects.create(subject=ada)
    with pytest.raises(KeyInUse):
        by_update(ada)
    assert slugs() == ["ada"]


def test_a_refusal_ends_a_block_as_a_constraint_does(ada):
    """A savepoint around the update is enough to go on."""
    Pin.objects.create(subject=ada)
    with transaction.atomic(using="default"):
        with pytest.raises(KeyInUse), transaction.atomic(using="default"):
            by_update(ada)
        Subject.objects.filter(pk=ada.pk).update(title="still here")
    ada.refresh_from_db()
    assert (ada.slug, ada.title) == ("ada", "still here")


def test_nobody_holds_the_key(ada):
    Pin.objects.create(subject=Subject.objects.create(slug="bob"))
    by_save(ada)
    assert Subject.objects.filter(slug="eve").exists()


def test_left_behind(ada):
    Mark.objects.create(subject=ada)
    by_update(ada)
    assert Mark.objects.get().subject_id == "ada"


def test_a_primary_key_changes():
    Currency.objects.create(code="DEM")
    Price.objects.create(currency_id="DEM")
    Currency.objects.filter(pk="DEM").update(code="EUR")
    assert Price.objects.get().currency_id == "EUR"
    Currency.objects.update(code=Lower(F("code")))
    assert Price.objects.get().currency_id == "eur"


def test_a_number_as_primary_key_is_protected(ada):
    Pin.objects.create(by_pk=ada)
    with pytest.raises(KeyInUse, match=r"^codes\.Pin\.by_pk: the key "):
        Subject.objects.filter(pk=ada.pk).update(id=F("id") + 1000)
    Pin.objects.all().delete()
    assert Subject.objects.filter(pk=ada.pk).update(id=F("id") + 1000) == 1
    assert Subject.objects.get().pk == ada.pk + 1000


def test_a_primary_key_and_another_key_change_together(ada, note):
    Subject.objects.filter(pk=ada.pk).update(id=ada.pk + 1000, slug="eve")
    assert slugs() == ["eve"]


def test_saving_under_another_primary_key_is_a_new_row():
    currency = Currency.objects.create(code="DEM")
    Price.objects.create(currency=currency)
    currency.code = "EUR"
    currency.save()
    assert Currency.objects.count() == 2
    assert Price.objects.get().currency_id == "DEM"


def test_what_gives_no_same_key_twice_is_refused():
    Currency.objects.create(code="DEM")
    with pytest.raises(
        DatabaseError, match=r"^codes\.Currency: the primary key 'DEM' was changed"
    ):
        Currency.objects.update(code=Substr(Cast(Random(), models.CharField(max_length=60)), 3, 3))
    assert Currency.objects.get().code == "DEM"


def test_a_childs_key_in_its_parents_table():
    course = Course.objects.create(slug="ada")
    Note.objects.create(subject=course)
    Course.objects.update(slug="eve", hours=2)
    assert slugs() == ["eve"]
    course.refresh_from_db()
    course.slug = "kim"
    course.save()
    assert slugs() == ["kim"]


def test_into_having_no_key(ada):
    Rank.objects.create(subject=ada)
    Subject.objects.update(number=None)
    assert Rank.objects.get().subject_id is None


def test_into_having_no_key_is_refused_where_sources_must_have_one(ada, note, monkeypatch):
    monkeypatch.setattr(Rank._meta.get_field("subject"), "null", False)
    Rank.objects.create(subject=ada)
    with pytest.raises(KeyInUse, match=r"cannot become None while 1 codes\.Rank"):
        Subject.objects.update(number=None)


def test_a_source_that_is_a_target_itself(ada):
    """Over two databases: the key of a wallet is its subject's."""
    wallet = Wallet.objects.create(subject=ada)
    Card.objects.create(wallet=wallet)
    by_update(ada)
    assert Wallet.objects.get().subject_id == "eve"
    assert Card.objects.get().wallet_id == "eve"


def test_a_source_further_on_refuses(ada):
    wallet = Wallet.objects.create(subject=ada)
    Card.objects.create(wallet=wallet, sealed=wallet)
    with pytest.raises(KeyInUse, match=r"^codes\.Card\.sealed: the key 'ada' of codes\.Wallet"):
        by_update(ada)
    assert Subject.objects.get().slug == "ada"
    assert Wallet.objects.get().subject_id == "ada"


def upsert(*, update, by):
    """Insert or update a subject called eve of number 1."""
    features = connections["default"].features
    given = {"unique_fields": by} if features.supports_update_conflicts_with_target else {}
    Subject.objects.bulk_create(
        [Subject(slug="eve", number=1, title="new")],
        update_conflicts=True,
        update_fields=update,
        **given,
    )


def test_bulk_create_does_not_update_keys(ada, note):
    with pytest.raises(NotSupportedError) as caught:
        upsert(update=["slug"], by=["number"])
    assert str(caught.value) == (
        "codes.Note.subject: bulk_create() of codes.Subject in database 'default' would update "
        "'slug', a key that sources in database 'blog' hold, of rows that nobody can tell "
        "beforehand. Leave it out of update_fields, and change keys by update() or bulk_update()."
    )
    upsert(update=["title"], by=["number"])
    ada.refresh_from_db()
    assert (ada.slug, ada.title) == ("ada", "new")


def test_bulk_create_may_find_rows_by_keys(ada):
    if not connections["default"].features.supports_update_conflicts_with_target:
        pytest.skip("MariaDB is not told by which key rows are found.")
    upsert(update=["title", "number"], by=["number"])
    ada.refresh_from_db()
    assert (ada.slug, ada.title) == ("ada", "new")


# Several keys at a time


def ranks():
    """What each rank's target was called to begin with, in the order of the ranks."""
    titles = dict(Subject.objects.values_list("number", "title"))
    return [
        titles[number] for _, number in Rank.objects.order_by("pk").values_list("pk", "subject")
    ]


def test_chains_and_circles_in_one_statement(ada):
    """No source is moved twice, whatever hangs together with what."""
    subjects = [Subject.objects.create(slug=slug) for slug in "abcdefgh"]
    for subject in subjects:
        Note.objects.create(subject=subject, text=subject.slug)
    field = Note._meta.get_field("subject")
    pairs = {"a": "b", "b": "c", "c": "a", "d": "e", "e": "f", "f": "x", "g": "h", "h": "g"}
    assert key_changes.follow(field, pairs, "blog") == 8
    assert dict(Note.objects.values_list("text", "subject_id")) == pairs


@pytest.mark.parametrize("most", [1, 2, 3, 500])
def test_statements_are_bounded_and_circles_whole(monkeypatch, most):
    monkeypatch.setattr(key_changes, "MOST_PAIRS", most)
    pairs = {f"k{n}": f"k{n + 1}" for n in range(6)} | {"a": "b", "b": "c", "c": "a"}
    Note.objects.bulk_create([Note(subject_id=key, text=key) for key in pairs])
    assert key_changes.follow(Note._meta.get_field("subject"), pairs, "blog") == 9
    assert dict(Note.objects.values_list("text", "subject_id")) == pairs


def test_a_chain_in_one_update():
    """A database takes the rows in an order that keeps keys unique, or it refuses."""
    for number in (3, 2, 1):
        subject = Subject.objects.create(slug=f"s{number}", number=number, title=str(number))
        Rank.objects.create(subject=subject)
    Subject.objects.order_by("-number").update(number=F("number") + 1)
    assert ranks() == ["3", "2", "1"]
    assert changes("codes.Rank.subject").get().status == Status.APPLIED


def test_a_swap_in_one_block():
    """Three updates, each of which takes the key that the one before gave up."""
    for slug in ("ada", "bob"):
        Note.objects.create(subject=Subject.objects.create(slug=slug, title=slug), text=slug)
    with transaction.atomic(using="default"):
        for old, new in (("ada", "tmp"), ("bob", "ada"), ("tmp", "bob")):
            Subject.objects.filter(slug=old).update(slug=new)
        assert slugs() == ["ada", "bob"]
    assert dict(Note.objects.values_list("text", "subject_id")) == {"ada": "bob", "bob": "ada"}


def test_a_key_that_the_same_block_gives_to_a_new_target(ada, note):
    with transaction.atomic(using="default"):
        by_update(ada)
        Subject.objects.create(slug="ada")
    assert slugs() == ["eve"]


# When


def test_on_commit(ada, note):
    with transaction.atomic(using="default"):
        by_update(ada)
        assert slugs() == ["ada"]
        assert changes().get().status == Status.PENDING
    assert slugs() == ["eve"]
    assert changes().get().status == Status.APPLIED


def test_at_once_where_both_are_in_transactions(ada, note):
    with xdbrel.atomic("default", "blog"):
        by_update(ada)
        assert slugs() == ["eve"]
    assert slugs() == ["eve"]
    assert changes().get().status == Status.APPLIED


def test_rolled_back(ada, note):
    with pytest.raises(Boom), transaction.atomic(using="default"):
        by_update(ada)
        raise Boom
    assert slugs() == ["ada"]
    assert not changes().exists()


def test_both_rolled_back(ada, note):
    with pytest.raises(Boom), xdbrel.atomic("default", "blog"):
        by_update(ada)
        raise Boom
    assert slugs() == ["ada"]
    assert not CascadeIntent.objects.using("blog").exists()


def test_targets_alone_rolled_back_take_the_sources_block_with_them(ada, note):
    with pytest.raises(DeleteRolledBack), transaction.atomic(using="blog"):
        Note.objects.create(subject=ada)
        with pytest.raises(Boom), transaction.atomic(using="default"):
            by_update(ada)
            raise Boom
    assert slugs() == ["ada"]


def test_sources_alone_rolled_back_follow_by_the_relay(ada, note):
    with pytest.raises(Boom), transaction.atomic(using="blog"):
        with transaction.atomic(using="default"):
            by_update(ada)
        raise Boom
    assert slugs() == ["ada"]
    replay()
    assert slugs() == ["eve"]


@pytest.mark.django_db(databases="__all__")
def test_inside_a_test_case_like_transaction(ada, note):
    by_save(ada)
    assert slugs() == ["eve"]


# By the relay


def make_due():
    CascadeIntent.objects.using("default").update(available_at=timezone.now())


def test_the_relay_lets_them_follow(ada, note):
    """An intent that nobody could apply, then its second look."""
    with Away("blog"):
        by_update(ada)
    make_due()
    result = relay()
    assert (result.failed, slugs()) == (0, ["eve"])
    Note.objects.create(subject_id="ada", text="late")
    make_due()
    result = relay()
    assert (result.failed, slugs()) == (0, ["eve", "eve"])
    assert set(changes().values_list("status", flat=True)) == {Status.CONFIRMED}


def test_the_relay_takes_changes_and_deletions_in_turn(ada, note):
    """ada became eve, eve was deleted, another ada came and went: nothing of either is left."""
    Note.objects.create(subject=Subject.objects.create(slug="bob"))
    with Away("blog"):
        by_update(ada)
        Subject.objects.filter(slug="eve").delete()
        newcomer = Subject.objects.create(slug="ada")
        Note.objects.create(subject=newcomer)
        newcomer.delete()
    make_due()
    assert relay().failed == 0
    assert slugs() == ["bob"]


def test_deletions_that_are_settled_together_stay_before_the_changes_that_came_later(
    ada, note, settings
):
    """bob and tim went; then ada became bob, and bob became kim."""
    settings.XDBREL = {**settings.XDBREL, "RELAY_BATCH_SIZE": 4}
    with Away("blog"):
        for slug in ("bob", "tim"):
            Subject.objects.create(slug=slug).delete()
        Subject.objects.filter(slug="ada").update(slug="bob")
        Subject.objects.filter(slug="bob").update(slug="kim")
    make_due()
    # The deletions alone are claimed first, two for each of two relations.
    assert relay().failed == 0
    assert slugs() == ["kim"]
    # A late source of ada's goes the same way at the second look.
    Note.objects.create(subject_id="ada", text="late")
    make_due()
    assert relay().failed == 0
    assert slugs() == ["kim", "kim"]


def test_the_relay_spares_sources_of_whoever_lives_on(ada, note):
    """ada became eve; another ada came and went while the sources were away."""
    with Away("blog"):
        by_update(ada)
        Subject.objects.create(slug="ada").delete()
    CascadeIntent.objects.using("default").filter(new_keys__isnull=True).update(
        available_at=timezone.now()
    )
    assert relay().failed == 0
    assert slugs() == ["eve"]


def test_a_delete_spares_sources_of_whoever_lives_on(ada, note):
    """The same, with the sources back when the other one goes."""
    with Away("blog"):
        by_update(ada)
    Subject.objects.create(slug="ada").delete()
    assert slugs() == ["eve"]


def replay(*, order=None):
    """Apply the key changes that wait as the relay does, in any order."""
    waiting = list(changes().filter(status=Status.PENDING).order_by("pk"))
    for index in order or range(len(waiting)):
        intent = waiting[index]
        key_changes.apply_group([intent], "default")
        changes().filter(pk=intent.pk).update(status=Status.APPLIED)


def test_sources_that_are_away_follow_later(ada, note, caplog):
    with Away("blog"):
        by_update(ada)
    assert slugs() == ["ada"]
    intent = changes().get()
    assert intent.status == Status.PENDING
    assert intent.last_error == "DatabaseError: blog is away"
    record = next(r for r in caplog.records if getattr(r, "action", "") == "key_change_failed")
    assert record.getMessage() == (
        "codes.Note.subject: the sources of 1 changed keys could not follow in blog, and the "
        "relay will try again: blog is away"
    )
    assert key_changes.apply_group([intent], "default") == 1
    assert slugs() == ["eve"]
    assert key_changes.apply_group([intent], "default") == 0


def test_a_swap_is_applied_once(ada, note):
    """Two applications of one intent must not swap back."""
    Note.objects.create(subject_id="bob", text="bob")
    Subject.objects.create(slug="bob")
    (intent,) = key_changes.write(
        {(Note._meta.get_field("subject"), "blog"): {"ada": "bob", "bob": "ada"}}, "default"
    ).intents
    intent = changes().get(pk=intent.pk)
    assert key_changes.apply_group([intent], "default") == 2
    assert key_changes.apply_group([intent], "default") == 0
    assert dict(Note.objects.values_list("text", "subject_id")) == {"": "bob", "bob": "ada"}


def test_a_source_that_came_late_follows_at_the_second_look(ada, note):
    by_update(ada)
    Note.objects.create(subject_id="ada")
    assert key_changes.apply_group(changes(), "default") == 1
    assert slugs() == ["eve", "eve"]


def test_keys_that_a_new_target_has_are_left_alone(ada, note):
    with Away("blog"):
        by_update(ada)
    newcomer = Subject.objects.create(slug="ada")
    Note.objects.create(subject=newcomer)
    replay()
    assert slugs() == ["ada", "ada"]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_one_key_after_another(ada, note, order):
    """ada became eve, and eve became kim."""
    with Away("blog"):
        by_update(ada)
        Subject.objects.filter(slug="eve").update(slug="kim")
    replay(order=order)
    assert slugs() == ["kim"]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_there_and_back(ada, note, order):
    with Away("blog"):
        by_update(ada)
        Subject.objects.filter(slug="eve").update(slug="ada")
    replay(order=order)
    assert slugs() == ["ada"]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_making_room(ada, note, order):
    """bob became ada once ada had become eve: neither may have the other's sources."""
    bob = Subject.objects.create(slug="bob")
    Note.objects.create(subject=bob, text="bob's")
    with Away("blog"):
        by_update(ada)
        Subject.objects.filter(slug="bob").update(slug="ada")
    replay(order=order)
    assert dict(Note.objects.values_list("text", "subject_id")) == {"": "eve", "bob's": "ada"}
    # A second look at both finds everything in its place.
    assert key_changes.apply_group(changes(), "default") == 0
    assert dict(Note.objects.values_list("text", "subject_id")) == {"": "eve", "bob's": "ada"}


@pytest.mark.parametrize("key_change_first", [True, False])
def test_a_target_that_was_deleted_after_its_key_changed(ada, note, key_change_first):
    with Away("blog"):
        by_update(ada)
        Subject.objects.filter(slug="eve").delete()
    assert slugs() == ["ada"]
    if key_change_first:
        replay()
    make_due_deletions()
    relay()
    replay()
    assert slugs() == []


def make_due_deletions():
    CascadeIntent.objects.using("default").filter(new_keys__isnull=True).update(
        available_at=timezone.now()
    )
    CascadeIntent.objects.using("default").filter(new_keys__isnull=False).update(
        available_at=timezone.now() + timedelta(hours=1)
    )


def test_catching_up_before_a_deletion_takes_the_wrong_sources(ada, note):
    """The key went to a newcomer, who is deleted: the first one's sources are not to go."""
    field = Note._meta.get_field("subject")
    with Away("blog"):
        by_update(ada)
    assert key_changes.catch_up(field, ["bob"], "default", "blog") == 0
    assert slugs() == ["ada"]
    assert key_changes.catch_up(field, ["ada"], "default", "blog") == 1
    assert slugs() == ["eve"]


# What it costs


@pytest.fixture
def counted():
    """Collect the verbs of the statements in each database while the block runs."""

    @contextmanager
    def count():
        found = {}
        with ExitStack() as stack:
            captured = {
                alias: stack.enter_context(CaptureQueriesContext(connections[alias]))
                for alias in connections
            }
            yield found
        for alias, queries in captured.items():
            verbs = [query["sql"].split()[0] for query in queries.captured_queries]
            found[alias] = [verb for verb in verbs if verb in VERBS]

    return count


def test_models_that_nobody_points_at_run_djangos_own_path(note, counted):
    with counted() as found:
        Note.objects.update(text="x")
    assert found == {"default": [], "blog": ["UPDATE"], "shop": []}
    query = Note.objects.all().query.chain(sql.UpdateQuery)
    query.add_update_values({"text": "y"})
    assert not set(key_watch.RUNS) & set(vars(query.get_compiler(using="blog")))


def test_other_columns_cost_nothing(ada, counted):
    with counted() as found:
        Subject.objects.update(title="x")
        ada.save(update_fields=["title"])
        Person.objects.update(name="x")
    assert found == {"default": ["UPDATE"] * 3, "blog": [], "shop": []}


def test_a_key_that_stays_costs_one_statement(ada, counted):
    with counted() as found:
        ada.save()
    assert found == {"default": ["SELECT", "UPDATE"], "blog": [], "shop": []}
    with counted() as found:
        Subject.objects.filter(slug="nobody").update(slug="eve")
    assert found == {"default": ["SELECT", "UPDATE"], "blog": [], "shop": []}


def test_what_a_change_costs(counted):
    Currency.objects.create(code="DEM")
    Price.objects.create(currency_id="DEM")
    with counted() as found:
        Currency.objects.update(code="EUR")
    assert found == {
        # The keys before and after, the intent; whether others wait or are paused; settled.
        "default": ["SELECT", "UPDATE", "SELECT", "INSERT", "SELECT", "SELECT", "UPDATE"],
        # The receipt, and the sources.
        "blog": ["INSERT", "SELECT", "UPDATE"],
        "shop": [],
    }


# Django's shape


def test_djangos_shape():
    """What the patch of ``UpdateQuery`` leans on."""
    # Nothing of Django's own is replaced: the method is the base class's, which may be
    # that of queries that span.
    assert sql.DeleteQuery.get_compiler is sql.Query.get_compiler
    assert sql.UpdateQuery.get_compiler is key_watch._get_compiler
    assert sql.InsertQuery.get_compiler is key_watch._get_insert_compiler
    # Whatever else runs an UPDATE would pass by.
    runs = {name for name in vars(SQLUpdateCompiler) if name.startswith("execute")}
    assert {"execute_sql"} <= runs <= set(key_watch.RUNS)
    query = Subject.objects.all().query.chain(sql.UpdateQuery)
    query.add_update_values({"slug": "x"})
    ((field, model, value),) = query.values
    assert (field, model, value) == (Subject._meta.get_field("slug"), Subject, "x")
    assert set(key_watch.RUNS) & set(vars(query.get_compiler(using="default")))
