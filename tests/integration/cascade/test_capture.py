"""Every way that the ORM deletes a target: its sources in another database follow."""

import inspect
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, router, transaction
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, pre_delete
from django.urls import path

import xdbrel
from tests.apps.archive.models import Entry, Shelf
from tests.apps.blog.models import (
    Comment,
    Essay,
    Letter,
    Post,
    Signature,
    Visit,
)
from tests.apps.garden.models import (
    Account,
    Bed,
    BedProxy,
    Contract,
    Deed,
    Gardener,
    Login,
    OldPlot,
    OwnAccount,
    Payment,
    Petal,
    Photo,
    Plot,
    Print,
    Rental,
    Rose,
    Tag,
    Tool,
)
from tests.apps.knots.models import Album, Artist, Concert, Owner, Player, Team, Ticket
from tests.apps.people.models import Badge, Bookmark, Member, Person, PersonProxy
from tests.apps.shop.models import Invoice, Order, Profile, Review
from xdbrel import compat
from xdbrel.cascade import raw_delete
from xdbrel.cascade.relay import relay
from xdbrel.models import CascadeIntent
from xdbrel.signals import cascade_planned

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.urls("tests.integration.cascade.test_capture"),
]

site = admin.AdminSite()
site.register([Plot, Bed, Gardener])

urlpatterns = [path("admin/", site.urls)]


class Boom(Exception):
    pass


@contextmanager
def statements():
    """Yield a counter of (alias, first word, table) of what is executed in the block."""
    seen = Counter()

    def watch(execute, sql, params, many, context):
        verb = sql.split()[0]
        if verb in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            words = sql.replace("`", '"').split('"')
            table = next(word for word in words if "_" in word)
            seen[context["connection"].alias, verb, table] += 1
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(watch))
        yield seen


@contextmanager
def planned():
    """Yield a list of (relation, keys) of what is planned in the block."""
    seen = []

    def receiver(sender, relation, keys, **kwargs):
        seen.append((relation, sorted(keys)))

    cascade_planned.connect(receiver)
    try:
        yield seen
    finally:
        cascade_planned.disconnect(receiver)


def a_bed(plot=None, **values):
    bed = Bed.objects.create(plot=plot or Plot.objects.create(), **values)
    Tag.objects.create(bed=bed)
    return bed


@pytest.fixture
def bed():
    """A target with one source, and another pair that must stay."""
    a_bed(plot=Plot.objects.create(name="stays"))
    return a_bed()


def nothing_else_went():
    """The pair that had to stay is all that there is."""
    return [tag.bed.plot.name for tag in Tag.objects.all()] == ["stays"] and (
        Bed.objects.count() == 1
    )


class TestOfOneModel:
    def test_an_instance(self, bed):
        assert bed.delete() == (2, {"garden.Bed": 1, "garden.Tag": 1})
        assert nothing_else_went()

    def test_an_instance_asynchronously(self, bed):
        async_to_sync(bed.adelete)()
        assert nothing_else_went()

    def test_an_instance_on_an_alias(self, bed):
        bed.delete(using="default")
        assert nothing_else_went()

    def test_an_instance_with_deferred_fields(self, bed):
        Bed.objects.only("pk").get(pk=bed.pk).delete()
        assert nothing_else_went()

    @pytest.mark.parametrize(
        "chosen",
        [
            lambda beds, bed: beds.filter(pk=bed.pk),
            lambda beds, bed: beds.exclude(plot__name="stays"),
            lambda beds, bed: beds.exclude(plot__name="stays").order_by("-plot__name", "pk"),
            lambda beds, bed: beds.exclude(plot__name="stays").distinct(),
            lambda beds, bed: beds.exclude(plot__name="stays").select_related("plot"),
            lambda beds, bed: beds.exclude(plot__name="stays").defer("keeper"),
            lambda beds, bed: beds.exclude(plot__name="stays").prefetch_related("plot"),
            lambda beds, bed: beds.annotate(n=models.Count("plot__beds")).filter(n=1, pk=bed.pk),
            lambda beds, bed: beds.filter(pk__in=beds.filter(pk=bed.pk)),
            lambda beds, bed: beds.using("default").filter(pk=bed.pk),
            lambda beds, bed: bed.plot.beds.all(),
            lambda beds, bed: BedProxy.objects.filter(pk=bed.pk),
        ],
        ids=[
            "filter",
            "joined",
            "ordered",
            "distinct",
            "select_related",
            "deferred",
            "prefetched",
            "annotated",
            "subquery",
            "using",
            "manager",
            "proxy",
        ],
    )
    def test_a_queryset(self, bed, chosen):
        deleted, counts = chosen(Bed.objects.all(), bed).delete()
        assert (deleted, counts["garden.Tag"]) == (2, 1)
        assert nothing_else_went()

    def test_a_queryset_asynchronously(self, bed):
        async_to_sync(Bed.objects.filter(pk=bed.pk).adelete)()
        assert nothing_else_went()

    def test_what_a_raw_query_finds(self, bed):
        (found,) = Bed.objects.raw("SELECT * FROM garden_bed WHERE id = %s", [bed.pk])
        found.delete()
        assert nothing_else_went()

    def test_what_was_written_in_bulk(self):
        plot = Plot.objects.create()
        Bed.objects.bulk_create([Bed(plot=plot) for _ in range(3)])
        beds = list(Bed.objects.all())
        Tag.objects.bulk_create([Tag(bed=bed) for bed in beds])
        for bed in beds:
            bed.keeper = Gardener.objects.create()
        Bed.objects.bulk_update(beds, ["keeper"])
        assert Tag.objects.count() == 3
        Bed.objects.all().delete()
        assert not Tag.objects.exists()

    def test_updates_capture_nothing(self, bed):
        with planned() as seen:
            Bed.objects.update_or_create(pk=bed.pk, defaults={"keeper": Gardener.objects.create()})
            Bed.objects.get_or_create(pk=bed.pk)
            Bed.objects.update(keeper=None)
            bed.save()
        assert seen == []
        assert Tag.objects.count() == 2

    def test_a_collector_used_directly(self, bed):
        collector = Collector(using="default")
        collector.collect([bed])
        collector.delete()
        assert nothing_else_went()

    def test_a_subclass_of_the_collector(self, bed):
        class Own(Collector):
            pass

        collector = Own(using=router.db_for_write(Bed), origin=bed)
        collector.collect(Bed.objects.filter(pk=bed.pk))
        assert collector.delete() == (2, {"garden.Bed": 1, "garden.Tag": 1})
        assert nothing_else_went()

    def test_collected_and_not_deleted(self, bed):
        collector = Collector(using="default")
        collector.collect([bed])
        assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)
        assert not CascadeIntent.objects.exists()

    def test_a_model_of_an_abstract_base(self):
        roses = [Rose.objects.create(name=name) for name in "ab"]
        for rose in roses:
            Petal.objects.create(rose=rose)
        roses[0].delete()
        assert Petal.objects.get().rose == roses[1]
        Rose.objects.all().delete()
        assert not Petal.objects.exists()

    def test_a_swapped_model(self):
        assert Account._meta.swapped == "garden.OwnAccount"
        assert xdbrel_relation("garden.Login.account").target is OwnAccount
        Login.objects.create(account=OwnAccount.objects.create())
        OwnAccount.objects.get().delete()
        assert not Login.objects.exists()

    def test_an_unmanaged_model(self):
        Plot.objects.create(name="a")
        Plot.objects.create(name="b")
        for plot in OldPlot.objects.all():
            Deed.objects.create(plot=plot)
        OldPlot.objects.filter(name="a").delete()
        assert Deed.objects.get().plot.name == "b"
        OldPlot.objects.get(name="b").delete()
        assert not Deed.objects.exists()

    def test_a_key_that_is_not_the_primary_one(self):
        badges = [Badge.objects.create(number=number) for number in (5, -5)]
        for badge in badges:
            Visit.objects.create(badge=badge)
        badges[0].delete()
        assert Visit.objects.get().badge == badges[1]

    def test_a_missing_key_is_not_written_down(self):
        shelf = Shelf.objects.create(number=1, code=None)
        Entry.objects.create(coded=None)
        with planned() as seen:
            shelf.delete()
        assert ("archive.Entry.shelf", [1]) in seen
        assert "archive.Entry.coded" not in {relation for relation, _ in seen}
        assert Entry.objects.count() == 1


def xdbrel_relation(handle):
    from xdbrel import relations

    return relations.get(handle)


class TestCascadesFromBesideIt:
    def test_a_target_that_django_would_delete_without_looking(self, bed):
        plot = bed.plot
        assert plot.delete() == (3, {"garden.Plot": 1, "garden.Bed": 1, "garden.Tag": 1})
        assert nothing_else_went()

    def test_from_a_queryset(self, bed):
        Plot.objects.exclude(name="stays").delete()
        assert nothing_else_went()

    def test_a_generic_relation(self):
        plot, other = Plot.objects.create(), Plot.objects.create()
        for subject in (plot, plot, other):
            Print.objects.create(photo=Photo.objects.create(subject=subject))
        plot.delete()
        assert Photo.objects.get().subject == other
        assert Print.objects.get().photo.subject == other

    def test_the_content_type_itself(self):
        """Photos point at their subject's type, which is deleted as stale types are."""
        Print.objects.create(photo=Photo.objects.create(subject=Plot.objects.create()))
        try:
            ContentType.objects.get_for_model(Plot).delete()
        finally:
            ContentType.objects.clear_cache()
        assert not Photo.objects.exists()
        assert not Print.objects.exists()

    def test_what_a_many_to_many_relation_goes_through(self):
        gardener = Gardener.objects.create()
        for plot in (Plot.objects.create(), Plot.objects.create()):
            Payment.objects.create(contract=Contract.objects.create(gardener=gardener, plot=plot))
        gardener.plots.remove(gardener.plots.first())
        assert Payment.objects.get().contract == Contract.objects.get()
        gardener.plots.clear()
        assert not Contract.objects.exists()
        assert not Payment.objects.exists()

    @pytest.mark.parametrize(
        ("change", "left"),
        [
            (lambda gardener, tool: gardener.tools.remove(tool), 1),
            (lambda gardener, tool: gardener.tools.set([tool]), 1),
            (lambda gardener, tool: gardener.tools.clear(), 0),
            (lambda gardener, tool: tool.gardeners.clear(), 1),
            (lambda gardener, tool: tool.delete(), 1),
            (lambda gardener, tool: gardener.delete(), 0),
            (lambda gardener, tool: gardener.tools.all().delete(), 0),
        ],
        ids=["remove", "set", "clear", "reverse", "far end", "near end", "queryset"],
    )
    def test_a_table_that_django_makes_by_itself(self, change, left):
        gardener, tool = Gardener.objects.create(), Tool.objects.create()
        gardener.tools.add(tool, Tool.objects.create())
        for use in Gardener.tools.through.objects.all():
            Rental.objects.create(use=use)
        change(gardener, tool)
        uses = set(Gardener.tools.through.objects.values_list("pk", flat=True))
        assert len(uses) == left
        assert {rental.use_id for rental in Rental.objects.all()} == uses

    @pytest.mark.parametrize(
        "change",
        [
            lambda gardener, bed: gardener.beds.remove(bed),
            lambda gardener, bed: gardener.beds.clear(),
            lambda gardener, bed: gardener.beds.set([]),
            lambda gardener, bed: gardener.delete(),
        ],
        ids=["remove", "clear", "set", "delete"],
    )
    def test_a_target_that_is_only_set_free_stays(self, change):
        gardener = Gardener.objects.create()
        bed = a_bed(keeper=gardener)
        with planned() as seen:
            change(gardener, bed)
        assert seen == []
        bed.refresh_from_db()
        assert bed.keeper is None
        assert Tag.objects.get().bed == bed

    def test_sources_that_are_set_free_stay(self):
        """The manager of a crossing relation's targets: no target is deleted."""
        user = User.objects.create(username="ada")
        reviews = [Review.objects.create(author=user) for _ in range(4)]
        with planned() as seen:
            user.reviews.remove(reviews[0])
            user.reviews.set([reviews[1]])
            assert user.reviews.count() == 1
            user.reviews.clear()
        assert seen == []
        assert [review.author_id for review in Review.objects.all()] == [None] * 4

    def test_sources_deleted_through_the_targets_manager(self):
        user = User.objects.create(username="ada")
        post = Post.objects.create(title="one", author=user)
        Review.objects.create(post=post)
        Bookmark.objects.create(post=post)
        user.posts.all().delete()
        assert User.objects.exists()
        assert not Review.objects.exists()
        assert not Bookmark.objects.exists()


class TestInheritance:
    def test_deleting_the_child_deletes_the_parent_and_both_their_sources(self):
        member = Member.objects.create(name="m")
        Visit.objects.create(member=member)
        Signature.objects.create(person=member)
        Letter.objects.create(recipient=member, sender_id=member.pk)
        member.delete()
        assert not Person.objects.exists()
        for model in (Visit, Signature, Letter):
            assert not model.objects.exists()

    def test_deleting_the_parent_deletes_the_child_and_both_their_sources(self):
        member = Member.objects.create(name="m")
        Visit.objects.create(member=member)
        Signature.objects.create(person=member)
        Person.objects.filter(pk=member.pk).delete()
        assert not Member.objects.exists()
        for model in (Visit, Signature):
            assert not model.objects.exists()

    def test_keep_parents_keeps_the_parents_sources(self):
        member = Member.objects.create(name="m")
        Visit.objects.create(member=member)
        Signature.objects.create(person=member)
        member.delete(keep_parents=True)
        assert not Member.objects.exists()
        assert not Visit.objects.exists()
        assert Signature.objects.get().person == Person.objects.get()

    @pytest.mark.parametrize("model", [Person, PersonProxy])
    def test_a_target_that_is_a_proxy(self, model):
        person = Person.objects.create(name="p")
        writer = Person.objects.create(name="q")
        Letter.objects.create(recipient=writer, sender_id=person.pk)
        Signature.objects.create(person=person)
        model.objects.get(name="p").delete()
        assert not Letter.objects.exists()
        assert not Signature.objects.exists()

    def test_a_source_that_is_a_multi_table_child(self):
        """The key is in the parent's table; the child's row goes as well."""
        person = Person.objects.create(name="p")
        Essay.objects.create(writer=person)
        person.delete()
        assert not Essay.objects.exists()


class TestTransactions:
    def test_an_error_in_the_block(self, bed):
        with pytest.raises(Boom), transaction.atomic(using="default"):
            bed.delete()
            Bed.objects.all().delete()
            raise Boom
        assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)
        assert not CascadeIntent.objects.exists()

    def test_an_error_in_a_block_over_both(self, bed):
        with pytest.raises(Boom), xdbrel.atomic("default", "blog"):
            bed.delete()
            assert Tag.objects.count() == 1
            raise Boom
        assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)
        assert not CascadeIntent.objects.exists()

    def test_an_error_of_a_receiver(self, bed):
        def receiver(sender, **kwargs):
            raise Boom

        post_delete.connect(receiver, sender=Bed)
        try:
            with pytest.raises(Boom):
                bed.delete()
        finally:
            post_delete.disconnect(receiver, sender=Bed)
        assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)
        assert not CascadeIntent.objects.exists()


class TestAdmin:
    def test_the_delete_page(self, bed, admin_client):
        plot = bed.plot
        page = admin_client.get(f"/admin/garden/plot/{plot.pk}/delete/").content.decode()
        assert "Tags: 1" in page
        admin_client.post(f"/admin/garden/plot/{plot.pk}/delete/", {"post": "yes"})
        assert nothing_else_went()

    def test_the_delete_action(self, bed, admin_client):
        data = {"action": "delete_selected", "_selected_action": [bed.pk], "post": "yes"}
        admin_client.post("/admin/garden/bed/", data)
        assert nothing_else_went()

    def test_an_inline_that_is_deleted(self, bed, admin_client, monkeypatch):
        class Beds(admin.TabularInline):
            model = Bed

        monkeypatch.setattr(site._registry[Plot], "inlines", [Beds])
        data = {
            "name": "p",
            "beds-TOTAL_FORMS": 1,
            "beds-INITIAL_FORMS": 1,
            "beds-0-id": bed.pk,
            "beds-0-plot": bed.plot_id,
            "beds-0-DELETE": "on",
        }
        response = admin_client.post(f"/admin/garden/plot/{bed.plot_id}/change/", data)
        assert response.status_code == 302
        assert nothing_else_went()


class TestRawDelete:
    def test_sources_follow(self, bed):
        with planned() as seen:
            assert Bed.objects.filter(pk=bed.pk)._raw_delete("default") == 1
        assert nothing_else_went()
        assert seen == [("garden.Tag.bed", [bed.pk])]
        assert set(CascadeIntent.objects.values_list("status", flat=True)) <= {
            "applied",
            "confirmed",
        }

    @pytest.mark.parametrize(
        "chosen",
        [
            lambda beds: beds.order_by("plot__name"),
            lambda beds: beds.distinct(),
            lambda beds: beds.values("pk"),
            lambda beds: beds.values_list("plot__name"),
            lambda beds: beds.select_related("plot"),
            lambda beds: beds.select_for_update(),
            lambda beds: beds.only("keeper"),
            lambda beds: beds.annotate(n=models.Count("plot__beds")).filter(n=1),
            lambda beds: BedProxy.objects.exclude(plot__name="stays"),
        ],
        ids=[
            "ordered",
            "distinct",
            "values",
            "values_list",
            "select_related",
            "locked",
            "only",
            "annotated",
            "proxy",
        ],
    )
    def test_any_queryset(self, bed, chosen):
        chosen(Bed.objects.exclude(plot__name="stays"))._raw_delete(using="default")
        assert nothing_else_went()

    def test_nobody_is_told(self, bed):
        """No signals, as Django says of it; nothing beside the rows goes, either."""
        told = []

        def receiver(sender, **kwargs):
            told.append(sender)

        pre_delete.connect(receiver, sender=Bed)
        try:
            Bed.objects.filter(pk=bed.pk)._raw_delete("default")
        finally:
            pre_delete.disconnect(receiver, sender=Bed)
        assert told == []
        assert Plot.objects.count() == 2

    def test_receivers_of_the_sources_are_told(self, bed):
        told = []

        def receiver(sender, instance, **kwargs):
            told.append((instance.bed_id, instance.bed.plot_id))

        pre_delete.connect(receiver, sender=Tag)
        try:
            Bed.objects.filter(pk=bed.pk)._raw_delete("default")
        finally:
            pre_delete.disconnect(receiver, sender=Tag)
        assert told == [(bed.pk, bed.plot_id)]

    def test_nothing_to_delete(self):
        with planned() as seen, statements() as executed:
            assert Bed.objects.filter(pk=-1)._raw_delete("default") == 0
        assert seen == []
        assert executed == {("default", "SELECT", "garden_bed"): 1}

    def test_statements(self, bed):
        """The rows are read, what follows is written down, the rows go: in one transaction."""
        with statements() as seen:
            Bed.objects.filter(pk=bed.pk)._raw_delete("default")
        of_beds = {key: n for key, n in seen.items() if key[2] == "garden_bed"}
        assert of_beds == {
            # Once to read them, once after the commit to see that they are gone.
            ("default", "SELECT", "garden_bed"): 2,
            ("default", "DELETE", "garden_bed"): 1,
        }
        assert seen["default", "INSERT", "xdbrel_cascadeintent"] == 1
        assert seen["blog", "DELETE", "garden_tag"] == 1

    def test_a_model_without_crossing_relations_is_djangos(self):
        Tag.objects.create(bed_id=1)
        Owner.objects.create()
        with planned() as seen, statements() as executed:
            assert Tag.objects.all()._raw_delete("blog") == 1
        assert seen == []
        assert executed == {("blog", "DELETE", "garden_tag"): 1}

    def test_a_relation_that_does_nothing_needs_no_capture(self):
        """Of four relations to it, the one that leaves its key alone is not planned."""
        owner = Owner.objects.create()
        Ticket.objects.create(kept=owner, default=owner)
        with planned() as seen:
            Owner.objects.all()._raw_delete("default")
        assert "knots.Ticket.kept" not in {relation for relation, _ in seen}
        assert {relation for relation, _ in seen} == {
            "knots.Ticket.default",
            "knots.Ticket.set_to",
            "knots.Ticket.special",
        }
        ticket = Ticket.objects.get()
        assert (ticket.kept_id, ticket.default_id) == (owner.pk, 7)

    def test_what_a_parent_has_stays_with_the_parent(self):
        member = Member.objects.create(name="m")
        Visit.objects.create(member=member)
        Signature.objects.create(person=member)
        assert Member.objects.all()._raw_delete("default") == 1
        assert not Visit.objects.exists()
        assert Signature.objects.get().person == Person.objects.get()

    def test_another_key_than_the_primary_one(self):
        for number in (3, -3):
            Visit.objects.create(badge=Badge.objects.create(number=number))
        Badge.objects.filter(number=-3)._raw_delete("default")
        assert Visit.objects.get().badge.number == 3

    def test_a_target_that_is_a_proxy(self):
        person = Person.objects.create(name="p")
        Letter.objects.create(recipient=Person.objects.create(name="q"), sender_id=person.pk)
        Person.objects.filter(name="p")._raw_delete("default")
        assert not Letter.objects.exists()

    def test_protected(self):
        user = User.objects.create(username="ada")
        Post.objects.create(title="one", author=user)
        invoice = Invoice.objects.create(customer=user)
        with pytest.raises(models.ProtectedError) as caught:
            User.objects.all()._raw_delete("default")
        assert caught.value.protected_objects == {invoice}
        assert (User.objects.count(), Post.objects.count()) == (1, 1)
        assert not CascadeIntent.objects.exists()

    def test_protected_inside_a_block_that_goes_on(self):
        user = User.objects.create(username="ada")
        Invoice.objects.create(customer=user)
        with transaction.atomic(using="default"):
            with pytest.raises(models.ProtectedError):
                User.objects.all()._raw_delete("default")
            User.objects.create(username="bob")
        assert User.objects.count() == 2

    def test_restricted(self):
        artist = Artist.objects.create()
        concert = Concert.objects.create(artist=artist)
        with pytest.raises(models.RestrictedError) as caught:
            Artist.objects.all()._raw_delete("default")
        assert caught.value.args[0] == (
            "Cannot delete some instances of model 'Artist' because they are referenced through "
            "restricted foreign keys: 'Concert.artist'."
        )
        assert caught.value.restricted_objects == {concert}
        assert Artist.objects.exists()

    def test_restricted_by_what_goes_anyway(self):
        artist = Artist.objects.create()
        album = Album.objects.create(artist=artist)
        Concert.objects.create(artist=artist, album=album)
        Artist.objects.all()._raw_delete("default")
        assert (Album.objects.count(), Concert.objects.count()) == (0, 0)

    def test_a_circle(self):
        team = Team.objects.create()
        team.captain = Player.objects.create(team=team)
        team.save()
        Team.objects.all()._raw_delete("default")
        assert (Team.objects.count(), Player.objects.count()) == (0, 0)

    def test_many_rows(self, settings):
        settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 2, "INTENT_KEYS": 3}
        plot = Plot.objects.create()
        for _ in range(5):
            a_bed(plot=plot)
        assert Bed.objects.all()._raw_delete("default") == 5
        assert not Tag.objects.exists()


class TestWhenARawDeleteIsFollowed:
    """The table of moments is that of ``delete()``."""

    def raw_delete(self, bed):
        return Bed.objects.filter(pk=bed.pk)._raw_delete("default")

    def test_targets_in_transaction(self, bed):
        with transaction.atomic(using="default"):
            self.raw_delete(bed)
            assert (Bed.objects.count(), Tag.objects.count()) == (1, 2)
            assert CascadeIntent.objects.get().status == "pending"
        assert nothing_else_went()

    def test_targets_rolled_back(self, bed):
        with pytest.raises(Boom), transaction.atomic(using="default"):
            self.raw_delete(bed)
            raise Boom
        assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)
        assert not CascadeIntent.objects.exists()

    def test_sources_in_transaction_alone(self, bed, monkeypatch):
        """Followed only after the targets' commit, so that no commit that fails is followed."""
        left = []
        connection = connections["default"]

        def commit(original=connection.commit):
            left.append(Tag.objects.count())
            original()

        monkeypatch.setitem(connection.__dict__, "commit", commit)
        with transaction.atomic(using="blog"):
            self.raw_delete(bed)
            assert Tag.objects.count() == 1
        assert left[0] == 2
        assert nothing_else_went()

    def test_both_in_transaction(self, bed):
        with xdbrel.atomic("default", "blog"):
            self.raw_delete(bed)
            assert nothing_else_went()
        assert nothing_else_went()
        assert CascadeIntent.objects.get().status == "applied"

    def test_both_rolled_back(self, bed):
        with pytest.raises(Boom), xdbrel.atomic("default", "blog"):
            self.raw_delete(bed)
            raise Boom
        assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)

    def test_a_delete_that_fails_in_the_end(self, bed):
        """What was applied at once goes back with the savepoint."""

        def fail(execute, sql, params, many, context):
            if sql.startswith("DELETE") and "garden_bed" in sql:
                raise Boom
            return execute(sql, params, many, context)

        with xdbrel.atomic("default", "blog"):
            with pytest.raises(Boom), connections["default"].execute_wrapper(fail):
                self.raw_delete(bed)
            assert (Bed.objects.count(), Tag.objects.count()) == (2, 2)
        assert not CascadeIntent.objects.exists()

    def test_sources_that_fail_are_left_to_the_relay(self, bed, settings):
        settings.XDBREL = {**settings.XDBREL, "RETRY_SECONDS": 0}

        def fail(execute, sql, params, many, context):
            raise Boom

        with connections["blog"].execute_wrapper(fail):
            assert self.raw_delete(bed) == 1
        assert (Bed.objects.count(), Tag.objects.count()) == (1, 2)
        relay()
        assert nothing_else_went()


class TestNothingIsCapturedTwice:
    @pytest.mark.parametrize(
        "take",
        [
            lambda user: user.delete(),
            lambda user: User.objects.all().delete(),
            lambda user: User.objects.all()._raw_delete("default"),
        ],
        ids=["instance", "queryset", "raw"],
    )
    def test_a_chain_over_three_databases(self, take):
        """The posts go by keys, after what hangs on them has been planned."""
        user = User.objects.create(username="ada")
        post = Post.objects.create(title="one", author=user)
        Comment.objects.create(post=post, author=user)
        Review.objects.create(post=post)
        Bookmark.objects.create(post=post)
        with planned() as seen:
            take(user)
        assert not Review.objects.exists()
        assert not Bookmark.objects.exists()
        per_relation = Counter(relation for relation, _ in seen)
        assert set(per_relation.values()) == {1}
        assert per_relation["people.Bookmark.post"] == 1
        assert per_relation["shop.Review.post"] == 1

    def test_what_django_deletes_without_looking_is_no_target(self):
        """Whatever ``Collector`` puts into ``fast_deletes`` needs no capture."""
        targets = [Bed, Post, User, Member, Person, Team, Photo, Contract, Owner, Rose]
        for model in targets:
            assert raw_delete.followed(model)
            assert not Collector(using="default").can_fast_delete(model.objects.all())
        for model in (Tag, Petal, Order, Profile, Print):
            assert raw_delete.followed(model) == []
            assert Collector(using="default").can_fast_delete(model.objects.all())

    def test_djangos_fast_deletes_pass_through(self):
        gardener = Gardener.objects.create()
        contract = Contract.objects.create(gardener=gardener, plot=Plot.objects.create())
        Payment.objects.create(contract=contract)
        with planned() as seen:
            gardener.delete()
        assert seen == [("garden.Payment.contract", [contract.pk])]


class TestDjangosShape:
    """``raw_delete`` replaces a method that no protocol speaks of."""

    def test_it_is_replaced(self):
        assert models.QuerySet._raw_delete is raw_delete._raw_delete
        assert models.QuerySet._raw_delete.alters_data

    def test_django_takes_an_alias_and_returns_a_number(self):
        original = compat._django_raw_delete
        assert original.__module__ == "django.db.models.query"
        assert list(inspect.signature(original).parameters) == ["self", "using"]
        assert original.alters_data
        Group.objects.create(name="g")
        assert original(Group.objects.all(), "default") == 1

    def test_django_does_no_more_than_delete_by_its_query(self):
        """What else it did would be missing where it is replaced."""
        assert set(compat._django_raw_delete.__code__.co_names) <= {
            "query",
            "clone",
            "sql",
            "DeleteQuery",
            "__class__",
            "get_compiler",
            "execute_sql",
            "ROW_COUNT",
        }

    def test_collector_calls_it_for_fast_deletes_alone(self):
        names = {
            name
            for name, function in inspect.getmembers(Collector, inspect.isfunction)
            if "_raw_delete" in function.__code__.co_names
        }
        assert names == {"delete"}

    def test_installing_twice_changes_nothing(self):
        raw_delete.install()
        assert models.QuerySet._raw_delete is raw_delete._raw_delete
        assert compat._django_raw_delete is not raw_delete._raw_delete
