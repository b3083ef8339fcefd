"""Random programs on parted databases, against Django's own behaviour in a single one.

Every model lives twice: parted over the homes of ``tests.settings``, and in one database
where no relation crosses, so that Django acts alone. A machine draws creates, re-pointings,
changes of keys and deletes, one by one or in blocks that commit or roll back, faults at
random events, relays at random moments. Whatever the parted side has committed is done in
the single database at once. When the relays are done, both hold the same rows.

What is drawn is taken from the rows of the single database: nobody writes to what is
deleted already and only stands because its cascade waits. Keys are never used again.
XDBREL_FAULT_EXAMPLES says how many programs, XDBREL_FAULT_SEED which; without it they are
the same every time.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import Error, connections, models, transaction
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

import xdbrel
from tests.apps.archive.models import Loan, Shelf
from tests.apps.blog.models import Branch, Comment, Desk, Post, Signature
from tests.apps.codes.models import Card, Note, Subject, Wallet
from tests.apps.knots.models import Album, Artist, Concert, Owner, Player, Song, Team, Ticket
from tests.apps.people.models import Bookmark, Cover, Person
from tests.apps.shop.models import Invoice, Order, Profile, Review
from tests.faults import corners, oracle
from tests.faults.tape import FAULTS, Died, Fault, Tape, died, hang_up, kept_in_memory, makes_sense
from tests.settings import LAYOUT
from xdbrel import placement
from xdbrel.cascade.relay import relay
from xdbrel.exceptions import DeleteRolledBack, XdbrelError

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

EXAMPLES = int(os.environ.get("XDBREL_FAULT_EXAMPLES", "90" if LAYOUT == "sqlite" else "15"))
SEED = os.environ.get("XDBREL_FAULT_SEED", "")
STEPS = 20
ONE = "one"

MODELS: tuple[type[models.Model], ...] = (
    User,
    Person,
    Artist,
    Owner,
    Shelf,
    Subject,
    Team,
    Player,
    Post,
    Comment,
    Order,
    Invoice,
    Review,
    Profile,
    Bookmark,
    Cover,
    Album,
    Song,
    Concert,
    Ticket,
    Loan,
    Branch,
    Desk,
    Signature,
    Note,
    Wallet,
    Card,
)
#: Those that others point at are drawn for deletion more often.
DELETED = (*MODELS, User, User, Post, Artist, Team, Player, Owner, Subject, Person)
#: Relations left empty: what a project's own policy does is no business of Django's.
LEFT_EMPTY = {"set_to", "special", "lender", "sealed", "entry"}
VETOES = (models.ProtectedError, models.RestrictedError)

BLOCKS = [
    ("default", "blog", "shop"),
    ("default",),
    ("blog",),
    ("shop",),
    ("default", "blog"),
    ("blog", "shop"),
    ("default", "shop"),
]


class TakenBack(Exception):
    """A reason to roll back."""


@dataclass
class Homes:
    """Which of the two layouts the routers see."""

    parted: dict[str, Any]
    single: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = {model._meta.app_label for model in _tables()}
        self.single = {**self.parted, "HOMES": dict.fromkeys(labels, ONE)}

    @contextmanager
    def in_one(self) -> Iterator[None]:
        django_settings.XDBREL = self.single
        try:
            yield
        finally:
            django_settings.XDBREL = self.parted


def _tables() -> list[type[models.Model]]:
    """Return what the single database needs: also what Django's deletes look at besides."""
    return [
        model
        for config in apps.get_app_configs()
        if config.name.startswith(("tests.apps.", "django.contrib."))
        for model in config.get_models()
        if model._meta.managed and not model._meta.proxy
        # Nothing of freight is deleted here, and its collations are those of its homes.
        if config.label != "freight"
    ]


@pytest.fixture
def homes(aliases: Any, settings: Any) -> Iterator[Homes]:
    """Two layouts; the single database is always SQLite."""
    settings.XDBREL = dict(settings.XDBREL)
    found = Homes(settings.XDBREL)
    aliases.define(ONE, NAME="file:xdbrel_one?mode=memory&cache=shared")
    aliases.connect(ONE)
    with kept_in_memory():
        with found.in_one(), connections[ONE].schema_editor() as editor:
            for model in _tables():
                editor.create_model(model)
        yield found
    # What was created goes with the last connection.


@dataclass(frozen=True)
class Drawn:
    """What an operation is made of, once it is known which rows there are."""

    kind: str
    model: int
    row: int
    other: int


numbers = st.integers(0, 999)
drawings = st.builds(
    Drawn,
    st.sampled_from(["create", "create", "create", "update", "delete", "delete", "rename"]),
    numbers,
    numbers,
    numbers,
)
leading_on = drawings.filter(lambda drawn: drawn.kind in ("delete", "rename"))


@dataclass(frozen=True)
class Operation:
    """Something to be done on both layouts. ``alias`` is where its own rows are when parted."""

    what: str
    alias: str
    act: Callable[[], Any]
    #: Tells whether it has been done.
    done: Callable[[], bool]
    #: Whether it begins a cascade.
    leads_on: bool = False
    #: What a single database would do besides, if it knew how.
    besides: Callable[[], Any] = lambda: None

    def act_in_one(self) -> None:
        self.act()
        self.besides()

    def __str__(self) -> str:
        return self.what


class Machine(RuleBasedStateMachine):
    """Both layouts, and what is done to them."""

    homes: Homes
    count: Counter[str]

    @initialize()
    def begin(self) -> None:
        self.count["programs"] += 1
        self.keys = itertools.count(100)
        with xdbrel.atomic():
            corners.clear(MODELS)
            self.first_rows()
        with self.homes.in_one(), transaction.atomic(using=ONE):
            for model in reversed(MODELS):
                corners.wipe(model)
            self.first_rows()

    def first_rows(self) -> None:
        """Two rows of each kind that hang on one another; one more user has an invoice."""
        # 7 and 1 are the defaults of Ticket.default and Loan.shelf.
        Owner.objects.create(pk=7)
        User.objects.create(pk=3, **made_with(User, 3))
        for model in MODELS:
            for pk in (2,) if model is Concert else (1, 2):
                held = {
                    one.attname: f"subject-{pk}" if one.to_fields[0] in ("slug", "subject") else pk
                    for one in relations_of(model)
                    if one.remote_field.model is not Player
                }
                if model is Invoice:
                    held = {"customer_id": 3}
                model._base_manager.create(pk=pk, **made_with(model, pk), **held)
        Team.objects.filter(pk=1).update(captain_id=1)

    # What is done.

    @rule(drawn=drawings)
    def one_by_one(self, drawn: Drawn) -> None:
        operation = self.operation(drawn)
        if operation is not None:
            self.run(operation)

    @rule(
        drawings=st.lists(drawings, min_size=1, max_size=5),
        aliases=st.sampled_from(BLOCKS),
        commit=st.booleans(),
        inner=st.booleans(),
    )
    def block(
        self, drawings: list[Drawn], aliases: tuple[str, ...], commit: bool, inner: bool
    ) -> None:
        """Several in a transaction on some of the databases, or in savepoints inside it."""
        self.count["blocks"] += 1
        done: list[Operation] = []
        try:
            with ExitStack() as stack:
                stack.enter_context(xdbrel.atomic(*aliases))
                if inner:
                    stack.enter_context(xdbrel.atomic(*aliases))
                stack.enter_context(transaction.atomic(using=ONE))
                for drawn in drawings:
                    operation = self.operation(drawn)
                    if operation is None:
                        continue
                    stays = commit or operation.alias not in aliases
                    if operation.leads_on and done and stays and not commit:
                        # Judged by what is rolled back then, it could not be repeated.
                        continue
                    if self.run(operation, inside=True):
                        done.append(operation)
                if not commit:
                    raise TakenBack
        except TakenBack:
            # What was done outside the block's databases stays done.
            for operation in done:
                if operation.alias not in aliases:
                    self.run_in_one(operation)

    @rule(before=st.lists(drawings, max_size=3), drawn=leading_on)
    def taken_back_inside(self, before: list[Drawn], drawn: Drawn) -> None:
        """Targets are rolled back in the middle of a block on their sources' databases."""
        self.count["blocks"] += 1
        outside = ("blog", "shop")
        done: list[Operation] = []
        try:
            with transaction.atomic(using=ONE), xdbrel.atomic(*outside):
                for one in before:
                    operation = self.operation(one)
                    if operation and operation.alias in outside and not operation.leads_on:
                        self.run(operation, inside=True)
                        done.append(operation)
                operation = self.operation(drawn)
                if operation:
                    with suppress(TakenBack), transaction.atomic(using="default"):
                        refused = refusal(operation.act)
                        raise TakenBack
                    if operation.alias in outside and not refused:
                        self.run_in_one(operation)
                        done.append(operation)
        except DeleteRolledBack:
            self.count["refused commits"] += 1
            # The databases commit one after the other: the first may have.
            for operation in done:
                if operation.done():
                    self.run_in_one(operation)

    @rule(
        drawn=leading_on,
        fault=st.sampled_from(FAULTS),
        at=st.integers(0, 70),
        aliases=st.sampled_from([(), (), *BLOCKS]),
    )
    def faulty(self, drawn: Drawn, fault: Fault, at: int, aliases: tuple[str, ...]) -> None:
        """One that leads on, and a fault at some event, after which the process is gone."""
        operation = self.operation(drawn)
        if operation is None:
            return

        def act() -> None:
            with ExitStack() as stack:
                if aliases:
                    stack.enter_context(xdbrel.atomic(*aliases))
                operation.act()

        struck, error = self.break_at(at, fault, act)
        if isinstance(error, VETOES):
            return
        if operation.done():
            self.run_in_one(operation)
        else:
            assert struck, f"{operation}: neither done nor disturbed; {error!r}"

    @rule(again=st.booleans())
    def relay(self, again: bool) -> None:
        corners.make_due(again=again)
        relay()

    @rule(fault=st.sampled_from(FAULTS), at=st.integers(0, 150), again=st.booleans())
    def faulty_relay(self, fault: Fault, at: int, again: bool) -> None:
        corners.make_due(again=again)
        _, error = self.break_at(at, fault, relay)
        assert error is None or isinstance(error, Died)

    @rule()
    def compare(self) -> None:
        """When the relays have finished, both layouts hold the same."""
        corners.drain()
        now = oracle.snapshot(MODELS)
        with self.homes.in_one():
            expected = oracle.snapshot(MODELS)
        assert now == expected, differences(expected, now)

    def teardown(self) -> None:
        if hasattr(self, "keys"):
            self.compare()

    # How it is done.

    def run(self, operation: Operation, *, inside: bool = False) -> bool:
        """Do it on both layouts; where one refuses, so must the other. Tell if it is done."""
        self.count["operations"] += 1
        refused = refusal(operation.act)
        try:
            with self.homes.in_one(), transaction.atomic(using=ONE):
                expected = refusal(operation.act_in_one)
                if refused and not expected:
                    raise TakenBack
        except TakenBack:
            # What is only waiting to follow may refuse, and does not any more then.
            assert inside or corners.waiting(), f"{operation}: {refused}"
            if inside:
                return False
            corners.drain()
            operation.act()
            self.run_in_one(operation)
            return True
        assert refused == expected, f"{operation}: {refused} instead of {expected}"
        self.count["refused"] += bool(refused)
        return not refused

    def run_in_one(self, operation: Operation) -> None:
        with self.homes.in_one(), transaction.atomic(using=ONE):
            operation.act_in_one()

    def break_at(
        self, at: int, fault: Fault, act: Callable[[], Any]
    ) -> tuple[bool, BaseException | None]:
        """Tell whether the fault happened, and what was raised."""
        error: BaseException | None = None
        tape = Tape(at, lambda *given: (fault if makes_sense(fault, given[2]) else died)(*given))
        with tape:
            try:
                act()
            except (Error, XdbrelError, Died) as caught:
                error = caught
        hang_up(ONE)
        self.count["faults"] += tape.struck is not None
        return tape.struck is not None, error

    # What can be done, with the rows that there are.

    def operation(self, drawn: Drawn) -> Operation | None:
        """Return the operation that is meant, or None where there are no rows for it."""
        return getattr(self, f"_{drawn.kind}")(drawn)

    def _create(self, drawn: Drawn) -> Operation | None:
        model = MODELS[drawn.model % len(MODELS)]
        pk = next(self.keys)
        values = made_with(model, pk)
        for number, relation in enumerate(relations_of(model)):
            held = self.free_keys(relation)
            if held and (drawn.other >> number) % 4:
                values[relation.attname] = held[(drawn.row + number) % len(held)]
            elif not relation.null:
                return None
        return Operation(
            f"create {model.__name__} {pk} {values}",
            placement.home(model),
            lambda: model._base_manager.create(pk=pk, **values),
            lambda: there(model, pk),
        )

    def _update(self, drawn: Drawn) -> Operation | None:
        """Give a source another target, or none."""
        model = MODELS[drawn.model % len(MODELS)]
        rows = self.rows(model)
        # A wallet's key is what others know it by.
        found = [one for one in relations_of(model) if model is not Wallet]
        if not rows or not found:
            return None
        relation = found[drawn.other % len(found)]
        pk = rows[drawn.row % len(rows)]
        held = [*self.free_keys(relation), *([None] if relation.null else [])]
        if not held:
            return None
        key = held[drawn.other // 3 % len(held)]

        def act() -> None:
            if drawn.other % 2:
                model._base_manager.filter(pk=pk).update(**{relation.attname: key})
            else:
                instance = model._base_manager.get(pk=pk)
                setattr(instance, relation.attname, key)
                instance.save()

        return Operation(
            f"let {model.__name__}.{relation.name} of {pk} be {key!r}",
            placement.home(model),
            act,
            lambda: model._base_manager.filter(pk=pk, **{relation.attname: key}).exists(),
        )

    def _delete(self, drawn: Drawn) -> Operation | None:
        model = DELETED[drawn.model % len(DELETED)]
        rows = self.rows(model)
        if not rows:
            return None
        first = drawn.row % len(rows)
        if drawn.other % 2:
            pks = rows[first : first + 1]
            act = lambda: model._base_manager.get(pk=pks[0]).delete()  # noqa: E731
        else:
            pks = rows[first : first + 1 + drawn.other // 2 % 3]
            act = lambda: model._base_manager.filter(pk__in=pks).delete()  # noqa: E731

        def done() -> bool:
            left = {there(model, pk) for pk in pks}
            assert len(left) == 1, f"{model.__name__} {pks}: some are deleted"
            return left == {False}

        return Operation(
            f"delete {model.__name__} {pks}", placement.home(model), act, done, leads_on=True
        )

    def _rename(self, drawn: Drawn) -> Operation | None:
        """Change the key by which sources know a subject: Note and Wallet follow, then Card."""
        rows = self.rows(Subject)
        if not rows:
            return None
        pk, slug = rows[drawn.row % len(rows)], f"renamed-{next(self.keys)}"
        with self.homes.in_one():
            old = Subject.objects.get(pk=pk).slug

        def act() -> None:
            if drawn.other % 2:
                Subject.objects.filter(pk=pk).update(slug=slug)
            else:
                subject = Subject.objects.get(pk=pk)
                subject.slug = slug
                subject.save()

        def besides() -> None:
            Note.objects.filter(subject_id=old).update(subject_id=slug)
            Wallet.objects.filter(subject_id=old).update(subject_id=slug)
            Card.objects.filter(wallet_id=old).update(wallet_id=slug)

        return Operation(
            f"rename Subject {pk} from {old} to {slug}",
            placement.home(Subject),
            act,
            lambda: Subject.objects.filter(pk=pk, slug=slug).exists(),
            leads_on=True,
            besides=besides,
        )

    def rows(self, model: type[models.Model]) -> list[Any]:
        with self.homes.in_one():
            return list(model._base_manager.order_by("pk").values_list("pk", flat=True))

    def free_keys(self, relation: Any) -> list[Any]:
        """Return the keys of living targets that one more source may hold."""
        attname = relation.target_field.attname
        with self.homes.in_one():
            targets = relation.remote_field.model._base_manager.order_by("pk")
            keys = list(targets.values_list(attname, flat=True))
        if relation.unique:
            sources = relation.model._base_manager.values_list(relation.attname, flat=True)
            used = set(sources)
            with self.homes.in_one():
                used.update(sources.all().using(ONE))
            keys = [key for key in keys if key not in used]
        return keys


def relations_of(model: type[models.Model]) -> list[Any]:
    return [
        one
        for one in model._meta.local_concrete_fields
        if (one.many_to_one or one.one_to_one) and one.name not in LEFT_EMPTY
    ]


def made_with(model: type[models.Model], pk: int) -> dict[str, Any]:
    """Return what a new row needs besides its relations."""
    if model is User:
        return {"username": f"user {pk}", "date_joined": corners.LONG_AGO}
    if model is Subject:
        return {"slug": f"subject-{pk}", "number": pk}
    return {"code": pk} if model is Shelf else {}


def there(model: type[models.Model], pk: Any) -> bool:
    return model._base_manager.filter(pk=pk).exists()


def refusal(act: Callable[[], Any]) -> str:
    """Return the name of the error by which the deletion is refused, "" where it is not."""
    try:
        act()
    except VETOES as error:
        return type(error).__name__
    return ""


def differences(expected: oracle.Snapshot, now: oracle.Snapshot) -> str:
    return "\n".join(
        f"{model.__name__} {pk}: {now[model].get(pk)} instead of {rows.get(pk)}"
        for model, rows in expected.items()
        for pk in rows.keys() | now[model].keys()
        if rows.get(pk) != now[model].get(pk)
    )


def test_parted_as_in_one(homes: Homes, tell: Callable[[str], None]) -> None:
    count: Counter[str] = Counter()
    machine = type("Program", (Machine,), {"homes": homes, "count": count})
    if SEED:
        machine = seed(int(SEED))(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not SEED,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    tell(", ".join(f"{number} {what}" for what, number in sorted(count.items())))
