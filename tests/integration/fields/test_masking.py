"""Sources of a deleted target are not shown while its cascade waits (``masked=True``)."""

import copy
import pickle
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connections, models
from django.db.models import Prefetch
from django.test.utils import CaptureQueriesContext, isolate_apps

from tests.aliases import aliases  # noqa: F401
from tests.apps.codes.models import Author, Badge, Draft, Leaflet, Page
from xdbrel import CrossDBForeignKey, compat, prefetch_cross_db
from xdbrel.fields import masking

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def author():
    return Author.objects.create(name="ada")


@pytest.fixture
def pages(author):
    return [Page.objects.create(author=author, reviewer=author, number=n) for n in range(3)]


def delete(*authors):
    """Delete the targets' rows, as if the cascades of all their relations still waited."""
    keys = [author.pk for author in authors]
    compat.raw_delete(Author.objects.filter(pk__in=keys), using="default")


@contextmanager
def counting():
    """Collect the number of statements in each database while the block runs."""
    found = {}
    with ExitStack() as stack:
        captured = {
            alias: stack.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in ("default", "blog")
        }
        yield found
    found.update({alias: len(queries) for alias, queries in captured.items()})


# The reverse manager


@pytest.mark.parametrize(
    ("ask", "nothing"),
    [
        (lambda pages: list(pages.all()), []),
        (lambda pages: list(pages.filter(number__gte=0)), []),
        (lambda pages: list(pages.exclude(number=7).order_by("-number")), []),
        (lambda pages: list(pages.values_list("number", flat=True)), []),
        (lambda pages: list(pages.using("blog")), []),
        (lambda pages: pages.count(), 0),
        (lambda pages: pages.exists(), False),
        (lambda pages: pages.first(), None),
        (lambda pages: pages.in_bulk(), {}),
        (lambda pages: pages.aggregate(n=models.Sum("number")), {"n": None}),
        (lambda pages: list(pages.all().iterator()), []),
    ],
)
def test_the_manager_shows_nothing_of_a_deleted_target(author, pages, ask, nothing):
    with counting() as found:
        assert ask(author.pages) != nothing
    assert found == {"default": 1, "blog": 1}
    delete(author)
    with counting() as found:
        assert ask(author.pages) == nothing
    assert found == {"default": 1, "blog": 0}
    assert Page.objects.count() == 3


def test_get_finds_nothing(author, pages):
    delete(author)
    with pytest.raises(Page.DoesNotExist):
        author.pages.get(number=1)


def test_a_key_that_is_used_again_shows_its_sources(author, pages):
    delete(author)
    Author.objects.create(pk=author.pk, name="eve")
    assert author.pages.count() == 3
    assert Page.objects.first().author.name == "eve"


def test_without_the_option_nothing_is_asked(author):
    draft = Draft.objects.create(author=author)
    with counting() as found:
        assert author.drafts.count() == 1
        assert list(author.drafts.all()) == [draft]
        assert draft.author is author
        assert list(Author.objects.prefetch_related("drafts")[0].drafts.all()) == [draft]
    assert found == {"default": 1, "blog": 3}
    delete(author)
    assert author.drafts.count() == 1
    assert draft.author is author


@pytest.mark.parametrize("gone", [False, True])
def test_writing_does_what_it_does_without_masking(author, pages, gone):
    if gone:
        delete(author)
    created = author.pages.create(number=7)
    assert (created.author_id, created.pk is not None) == (author.pk, True)
    assert author.pages.get_or_create(number=7) == (created, False)
    again, was_created = author.pages.update_or_create(number=7, defaults={"number": 8})
    assert (again, again.number, was_created) == (created, 8, False)
    unsaved = Page(number=9)
    author.pages.add(unsaved, bulk=False)
    author.reviewed.add(created)
    assert Page.objects.filter(reviewer_id=author.pk).count() == 4
    author.reviewed.remove(pages[0])
    assert Page.objects.filter(reviewer_id=author.pk).count() == 3
    author.reviewed.set([pages[0], created])
    assert set(Page.objects.filter(reviewer_id=author.pk)) == {pages[0], created}
    author.reviewed.clear()
    assert not Page.objects.filter(reviewer_id=author.pk).exists()
    assert Page.objects.filter(author_id=author.pk).count() == 5
    # And the manager still shows what it showed before.
    assert author.pages.count() == (0 if gone else 5)


def test_a_target_that_was_never_saved_is_not_a_deleted_one(author, pages):
    twin = Author(pk=author.pk)
    delete(author)
    with counting() as found:
        assert twin.pages.count() == 3
        page = Page(author=twin)
        assert page.author is twin
    assert found == {"default": 0, "blog": 1}


# Forward access


def test_plain_access_follows_the_dangling_policy(author, pages):
    delete(author)
    page = Page.objects.first()
    with pytest.raises(Page.author.RelatedObjectDoesNotExist) as caught:
        page.author
    assert str(caught.value) == (
        f"codes.Page.author: key {author.pk} has no codes.Author in database 'default'. The "
        "target was deleted or never existed; "
        '"manage.py xdbrel_scan codes.Page.author" lists such keys.'
    )
    Leaflet.objects.create(author_id=author.pk)
    assert Leaflet.objects.get().author is None


def test_what_was_fetched_before_is_looked_for_again(author):
    Page.objects.create(author=author)
    Leaflet.objects.create(author=author)
    page, leaflet = Page.objects.get(), Leaflet.objects.get()
    assert page.author == leaflet.author == author
    with counting() as found:
        assert page.author == author
    assert found == {"default": 1, "blog": 0}
    delete(author)
    for _ in range(2):
        with pytest.raises(Page.author.RelatedObjectDoesNotExist, match=r"^codes\.Page\.author: "):
            page.author
        assert leaflet.author is None


def test_what_was_assigned_is_looked_for(author):
    page = Page(author=author)
    delete(author)
    with pytest.raises(Page.author.RelatedObjectDoesNotExist):
        page.author


def test_a_target_deleted_by_its_own_instance(author):
    """The instance has lost its key by then; the source's counts."""
    page = Page.objects.create(author=author)
    page = Page.objects.prefetch_related("author").get()
    held = page.author
    delete(held)
    held.pk = None
    with pytest.raises(Page.author.RelatedObjectDoesNotExist):
        page.author


def test_no_key_is_nothing_to_look_for(author):
    page = Page.objects.create(author=author)
    with counting() as found:
        assert page.reviewer is None
    assert found == {"default": 0, "blog": 0}


def test_a_replica_that_still_has_the_target_is_not_asked(author, pages, settings, aliases):  # noqa: F811
    """The home says whether the target lives; a reader that lags behind does not matter."""
    replica = aliases.define("replica", NAME=":memory:")
    aliases.connect(replica)
    connection = connections[replica]
    with connection.schema_editor() as editor:
        editor.create_model(Author)
    Author.objects.using(replica).bulk_create([Author(pk=author.pk, name="stale")])

    class Reads:
        def db_for_read(self, model, **hints):
            return replica if model is Author else None

        def allow_relation(self, *args, **hints):
            return True

    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {replica: "default"}}
    settings.DATABASE_ROUTERS = [Reads(), *settings.DATABASE_ROUTERS]
    page = Page.objects.first()
    assert page.author.name == "ada"
    assert [p.author.name for p in Page.objects.prefetch_related("author")] == ["ada"] * 3
    delete(author)
    assert Author.objects.get().name == "stale"
    with pytest.raises(Page.author.RelatedObjectDoesNotExist):
        Page.objects.first().author
    (stale,) = Author.objects.prefetch_related("pages")
    assert list(stale.pages.all()) == []
    pinned = Prefetch("author", queryset=Author.objects.using(replica))
    for found in Page.objects.prefetch_related(pinned):
        with pytest.raises(Page.author.RelatedObjectDoesNotExist):
            found.author


# Prefetching


@pytest.fixture(params=["prefetch_related", "prefetch_cross_db"])
def prefetch(request):
    if request.param == "prefetch_related":
        return lambda queryset, *lookups: queryset.prefetch_related(*lookups)
    return prefetch_cross_db


@pytest.fixture
def others(pages):
    """Authors of one page each, one of whom is deleted in a moment."""
    found = [Author.objects.create(name=name) for name in ("bob", "eve")]
    for author in found:
        Page.objects.create(author=author)
    return found


def shown(authors):
    return {author.name: len(author.pages.all()) for author in authors}


def test_prefetching_sources(author, others, prefetch):
    with counting() as found:
        assert shown(prefetch(Author.objects.all(), "pages")) == {"ada": 3, "bob": 1, "eve": 1}
    assert found == {"default": 2, "blog": 1}
    authors = list(Author.objects.all())
    delete(author, others[1])
    with counting() as found:
        models.prefetch_related_objects(authors, "pages")
        assert shown(authors) == {"ada": 0, "bob": 1, "eve": 0}
    assert found == {"default": 1, "blog": 1}


def test_prefetching_sources_of_nobody(author, pages):
    delete(author)
    models.prefetch_related_objects([author], "pages", "badge")
    assert list(author.pages.all()) == []
    with pytest.raises(Author.badge.RelatedObjectDoesNotExist):
        author.badge


def test_prefetching_sources_into_an_attribute(author, others):
    authors = [author, *others]
    delete(author)
    chosen = Prefetch("pages", queryset=Page.objects.filter(number=0), to_attr="chosen")
    models.prefetch_related_objects(authors, chosen)
    assert [len(one.chosen) for one in authors] == [0, 1, 1]
    # What was asked for the batch is asked again by whoever comes later.
    delete(*others)
    assert [one.pages.count() for one in authors] == [0, 0, 0]


def test_prefetching_slices(others, author):
    authors = [author, *others]
    delete(author)
    models.prefetch_related_objects(authors, Prefetch("pages", queryset=Page.objects.all()[:1]))
    assert [len(one.pages.all()) for one in authors] == [0, 1, 1]


def test_prefetching_targets(author, others, prefetch):
    delete(author)
    with counting() as found:
        names = [
            page.author.name if page.author_id != author.pk else dangling(page)
            for page in prefetch(Page.objects.order_by("pk"), "author")
        ]
    assert names == [None, None, None, "bob", "eve"]
    assert found == {"default": 1, "blog": 1}


def dangling(page):
    with pytest.raises(Page.author.RelatedObjectDoesNotExist):
        page.author


def test_prefetching_onwards(author, others, prefetch):
    """Through a masked relation, there and back."""
    delete(author)
    pages = list(prefetch(Page.objects.order_by("pk"), "author__pages"))
    assert [page.author.name for page in pages[3:]] == ["bob", "eve"]
    assert [list(page.author.pages.all()) for page in pages[3:]] == [[pages[3]], [pages[4]]]


def test_prefetched_objects_are_copied_and_pickled(author, pages):
    (found,) = Author.objects.prefetch_related("pages")
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert len(again.pages.all()) == 3
    assert not masking.Look().is_on()


# One to one


def test_the_single_source(author):
    Badge.objects.create(author=author)
    author = Author.objects.get()
    with counting() as found:
        assert author.badge.author is author
    assert found == {"default": 2, "blog": 1}
    delete(author)
    with pytest.raises(Author.badge.RelatedObjectDoesNotExist, match=r"^Author has no badge\.$"):
        author.badge


def test_prefetching_the_single_source(author, others, prefetch):
    for one in (author, *others):
        Badge.objects.create(author=one)
    with counting() as found:
        assert [one.badge.pk for one in prefetch(Author.objects.order_by("pk"), "badge")] == list(
            Badge.objects.order_by("pk").values_list("pk", flat=True)
        )
    assert found == {"default": 2, "blog": 2}
    authors = list(Author.objects.order_by("pk"))
    delete(author)
    with counting() as found:
        models.prefetch_related_objects(authors, "badge")
        assert [hasattr(one, "badge") for one in authors] == [False, True, True]
    assert found == {"default": 1, "blog": 1}


# Where nothing crosses


@isolate_apps("tests.apps.codes")
def test_ends_that_share_a_home_are_not_looked_for(author):
    """Django deletes both in one transaction."""

    class Near(models.Model):
        author = CrossDBForeignKey(Author, models.CASCADE, masked=True, related_name="+")

        class Meta:
            app_label = "people"

    with counting() as found:
        near = Near(author=author)
        assert near.author is author
        assert masking.living(Near._meta.get_field("author"), [author]) == [author]
    assert found == {"default": 0, "blog": 0}
