"""manage.py xdbrel_relay: applying, the status, retries and pauses."""

import io
import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from tests.apps.blog.models import Post
from tests.apps.shop.models import Order
from xdbrel import relations
from xdbrel.cascade import clock
from xdbrel.cascade.pauses import pause, paused
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

AUTHOR = "blog.Post.author"
CUSTOMER = "shop.Order.customer"
REVIEWED = "shop.Review.post"
#: Of no user.
KEY = 10**6


def run(*arguments, **options):
    """Run the command; return exit status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command("xdbrel_relay", *arguments, stdout=out, stderr=err, **options)
    except SystemExit as error:
        status = error.code
    return status, out.getvalue(), err.getvalue()


def intent(using="default", *, age=0.0, due=0.0, **given):
    """Write an intent that is ``age`` seconds old and due in ``due`` seconds."""
    now = clock.read(using)
    return CascadeIntent.objects.using(using).create(
        **{
            "relation": AUTHOR,
            "source_alias": "blog",
            "keys": [KEY],
            "created_at": now - timedelta(seconds=age),
            "available_at": now + timedelta(seconds=due),
            **given,
        }
    )


def away(execute, sql, params, many, context):
    raise OperationalError("gone away")


class TestOnce:
    def test_json(self):
        """What the relay did is on stdout, and nothing else anywhere."""
        Post.objects.create(title="Left", author_id=KEY)
        intent()
        status, out, err = run("--once", "--format", "json")
        assert json.loads(out) == {
            "applied": 1,
            "confirmed": 0,
            "failed": 0,
            "rows": 1,
            "unreachable": [],
        }
        assert (status, err) == (0, "")
        assert not Post.objects.exists()

    def test_text(self):
        intent()
        status, out, _ = run("--once")
        assert out == "1 intents applied, 0 confirmed, 0 rows followed, 0 failed.\n"
        assert status == 0

    def test_a_failure(self):
        """What failed is tried again later; the exit status says that there was something."""
        intent(relation="blog.Post.nobody")
        status, out, _ = run("--once")
        assert out == "0 intents applied, 0 confirmed, 0 rows followed, 1 failed.\n"
        assert status == 1

    def test_a_database_that_does_not_answer(self):
        """The others' intents are applied."""
        intent("blog", relation=REVIEWED, source_alias="shop")
        with connections["default"].execute_wrapper(away):
            status, out, _ = run("--once")
        assert out == (
            "1 intents applied, 0 confirmed, 0 rows followed, 0 failed.\nUnreachable: default.\n"
        )
        assert status == 1

    def test_database(self):
        intent()
        assert run("--once", "--database", "blog")[1].startswith("0 intents applied")
        assert run("--once", "--database", "default")[1].startswith("1 intents applied")


class TestLoop:
    def test_a_database_that_goes_away_is_left_out_until_it_is_back(self, settings):
        """Nothing that a database says ends the loop, and nothing is forgotten."""
        settings.XDBREL = {**settings.XDBREL, "RELAY_INTERVAL_SECONDS": 0.1}
        Order.objects.create(customer_id=KEY)
        intent(relation=CUSTOMER, source_alias="shop")
        turns = []

        def count(execute, sql, params, many, context):
            # Each turn ends by reading the figures; once all is done, somebody presses Ctrl-C.
            if "COUNT(" in sql:
                turns.append(sql)
                if not Order.objects.exists() or len(turns) > 20:
                    raise KeyboardInterrupt
            return execute(sql, params, many, context)

        def away_for_two_turns(execute, sql, params, many, context):
            if len(turns) < 2:
                raise OperationalError("gone away")
            return execute(sql, params, many, context)

        with (
            connections["default"].execute_wrapper(away_for_two_turns),
            connections["blog"].execute_wrapper(count),
        ):
            status, out, _ = run()
        assert out.count("Unreachable: default.") == 2
        assert out.endswith("1 intents applied, 0 confirmed, 1 rows followed, 0 failed.\n")
        assert status == 0
        assert not Order.objects.exists()


class TestStatus:
    def test_nothing(self):
        status, out, err = run("--status")
        assert out == "0 intents wait, 0 for their second look, 0 were set aside.\n"
        assert (status, err) == (0, "")

    def test_table(self, settings):
        """A line for each relation, columns below one another, and one for the whole."""
        settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 86_400.0}
        intent(age=130)
        intent(age=7_300)
        intent(age=900, status="applied", due=-5)
        intent("blog", relation=REVIEWED, status="applied", due=50)
        pause(relations.get(CUSTOMER))
        status, out, err = run("--status")
        *table, whole = out.splitlines()
        assert [re.sub(r"\d+ s\b", "… s", re.sub(" {2,}", "|", line)) for line in table] == [
            "DATABASE|RELATION|WAITING|OLDEST|SECOND LOOK|OVERDUE|SET ASIDE|PAUSED",
            "default|blog.Post.author|2|2 h|1|… s|0|no",
            "default|shop.Order.customer|0|-|0|-|0|yes",
            "blog|shop.Review.post|0|-|1|-|0|no",
        ]
        start = table[0].index("RELATION")
        assert [line[start:].split()[0] for line in table[1:]] == [AUTHOR, CUSTOMER, REVIEWED]
        assert whole == "2 intents wait, 2 for their second look, 0 were set aside."
        assert (status, err) == (0, "")

    def test_late(self, settings):
        """Past the age that the settings allow, the exit status is 1 and the relation named."""
        settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 300.0}
        intent(age=200)
        assert run("--status")[0] == 0
        intent(age=400, relation=CUSTOMER)
        status, out, _ = run("--status")
        assert out.splitlines()[-1] == "Late, by more than 300 s: shop.Order.customer in default."
        assert status == 1

    def test_set_aside(self):
        """Nobody comes back to it by himself: it is a finding."""
        intent(status="set_aside")
        status, out, _ = run("--status")
        assert out.endswith("0 intents wait, 0 for their second look, 1 were set aside.\n")
        assert status == 1

    def test_a_database_that_does_not_answer(self):
        """It is named with its error; the others are shown."""
        intent("blog", relation=REVIEWED)
        with connections["default"].execute_wrapper(away):
            status, out, _ = run("--status")
        lines = out.splitlines()
        assert lines[1].split()[:3] == ["blog", REVIEWED, "1"]
        assert lines[2] == "default did not answer: OperationalError: gone away"
        assert status == 1

    def test_an_error_is_one_line(self):
        """Drivers explain themselves at length."""

        def away(execute, sql, params, many, context):
            raise OperationalError("connection refused\n\tIs the server running?")

        with connections["default"].execute_wrapper(away):
            out = run("--status")[1]
        assert out.splitlines()[0] == (
            "default did not answer: OperationalError: connection refused Is the server running?"
        )

    def test_json(self):
        intent(age=100)
        status, out, _ = run("--status", "--format", "json")
        figures = json.loads(out)
        assert (figures["depth"], figures["late"], figures["unreachable"]) == (1, False, {})
        assert figures["relations"][0]["relation"] == AUTHOR
        assert status == 0

    def test_nothing_is_applied(self):
        waiting = intent()
        run("--status")
        waiting.refresh_from_db()
        assert (waiting.status, waiting.attempts) == ("pending", 0)

    def test_database(self):
        intent("blog", relation=REVIEWED, status="set_aside")
        assert run("--status", "--database", "default")[0] == 0
        assert run("--status", "--database", "blog")[0] == 1


class TestRetry:
    def test_all(self):
        """What was set aside or postponed is due; nothing is applied yet."""
        aside = intent(status="set_aside", attempts=10, due=3_600)
        later = intent("blog", relation=REVIEWED, attempts=3, due=3_600)
        status, out, err = run("--retry")
        assert out == (
            "blog.Post.author: 1 made due in default.\nshop.Review.post: 1 made due in blog.\n"
        )
        assert (status, err) == (0, "")
        for row in (aside, later):
            row.refresh_from_db()
            assert (row.status, row.attempts) == ("pending", 0)
            assert row.available_at <= clock.read(row._state.db)

    def test_some(self):
        intent(status="set_aside")
        other = intent(relation=CUSTOMER, status="set_aside")
        assert run("--retry", AUTHOR)[1] == "blog.Post.author: 1 made due in default.\n"
        other.refresh_from_db()
        assert other.status == "set_aside"

    def test_what_is_due_held_or_finished_stays(self):
        intent()
        intent(due=60, claimed_by="somebody")
        intent(status="applied", due=60)
        intent(status="confirmed", due=60)
        status, out, _ = run("--retry")
        assert (status, out) == (0, "Nothing was set aside or postponed.\n")

    def test_once_applies_what_is_due_then(self):
        Post.objects.create(title="Left", author_id=KEY)
        intent(status="set_aside", attempts=10)
        status, out, _ = run("--retry", "--once")
        assert out == (
            "blog.Post.author: 1 made due in default.\n"
            "1 intents applied, 0 confirmed, 1 rows followed, 0 failed.\n"
        )
        assert status == 0
        assert not Post.objects.exists()

    def test_json(self):
        """One object, with the relay's figures where it ran."""
        intent(status="set_aside")
        retried = [{"alias": "default", "relation": AUTHOR, "intents": 1}]
        assert json.loads(run("--retry", "--format", "json")[1]) == {
            "retried": retried,
            "unreachable": {},
        }
        CascadeIntent.objects.update(status="set_aside")
        figures = json.loads(run("--retry", AUTHOR, "--once", "--format", "json")[1])
        assert figures["retried"] == retried
        assert figures["relay"]["applied"] == 1

    def test_a_database_that_does_not_answer(self):
        intent("blog", relation=REVIEWED, status="set_aside")
        with connections["default"].execute_wrapper(away):
            status, out, _ = run("--retry")
        assert out == (
            "shop.Review.post: 1 made due in blog.\n"
            "default did not answer: OperationalError: gone away\n"
        )
        assert status == 1

    def test_no_statement_is_unbounded(self, settings):
        """Many are made due chunk by chunk."""
        settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 2}
        for _ in range(5):
            intent(status="set_aside")
        updates = []

        def watch(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if sql.startswith("UPDATE"):
                updates.append(context["cursor"].rowcount)
            return result

        with connections["default"].execute_wrapper(watch):
            assert run("--retry")[1] == "blog.Post.author: 5 made due in default.\n"
        assert updates == [2, 2, 1]


class TestPause:
    def test_pause_and_resume(self):
        """The handle's case does not matter; a second time is said."""
        assert run("--pause", "blog.post.author", REVIEWED) == (
            0,
            "blog.Post.author: paused in default.\nshop.Review.post: paused in blog.\n",
            "",
        )
        assert (paused("default"), paused("blog")) == ({AUTHOR}, {REVIEWED})
        assert run("--pause", AUTHOR)[1] == "blog.Post.author: was paused already in default.\n"
        assert run("--resume", AUTHOR)[1] == "blog.Post.author: resumed in default.\n"
        assert run("--resume", AUTHOR)[1] == "blog.Post.author: was not paused in default.\n"
        assert (paused("default"), paused("blog")) == (set(), {REVIEWED})

    def test_intents_of_a_paused_relation_wait(self):
        Post.objects.create(title="Left", author_id=KEY)
        intent()
        run("--pause", AUTHOR)
        assert run("--once")[1].startswith("0 intents applied")
        assert Post.objects.exists()
        (line,) = [line for line in run("--status")[1].splitlines() if AUTHOR in line]
        assert line.split()[2] == "1"
        assert line.endswith("yes")
        run("--resume", AUTHOR)
        assert run("--once")[1].startswith("1 intents applied")
        assert not Post.objects.exists()

    def test_json(self):
        out = run("--pause", AUTHOR, "--format", "json")[1]
        assert json.loads(out) == [
            {"alias": "default", "relation": AUTHOR, "paused": True, "changed": True}
        ]
        out = run("--resume", AUTHOR, "--format", "json")[1]
        assert json.loads(out) == [
            {"alias": "default", "relation": AUTHOR, "paused": False, "changed": True}
        ]

    def test_another_database(self):
        """A tenant's, where its intents stand."""
        assert run("--pause", AUTHOR, "--database", "shop")[1] == (
            "blog.Post.author: paused in shop.\n"
        )
        assert (paused("default"), paused("shop")) == (set(), {AUTHOR})

    def test_a_home_that_does_not_answer(self):
        """It is named on stderr, and the others are paused all the same."""
        with connections["default"].execute_wrapper(away):
            status, out, err = run("--pause", AUTHOR, REVIEWED)
        assert out == "shop.Review.post: paused in blog.\n"
        assert err == (
            "blog.Post.author could not be paused: database 'default', where its intents stand, "
            "failed (OperationalError: gone away). Nothing was changed; try again when it "
            "answers.\n"
        )
        assert status == 1

    def test_a_handle_is_needed(self):
        with pytest.raises(CommandError, match="argument --pause: expected at least one"):
            run("--pause")


class TestUsage:
    @pytest.mark.parametrize("option", ["--retry", "--pause", "--resume"])
    def test_an_unknown_relation(self, option):
        """The nearest are named, and nothing is done for the others either."""
        status, out, err = run(option, AUTHOR, "shop.Order.custommer")
        assert err.startswith(
            "There is no cross-database relation 'shop.Order.custommer'. Did you mean "
            "shop.Order.customer"
        )
        assert (status, out) == (2, "")
        assert paused("default") == set()

    @pytest.mark.parametrize("option", ["--once", "--status", "--retry"])
    def test_an_unknown_database(self, option):
        status, out, err = run(option, "--database", "nowhere")
        assert err == "There is no database 'nowhere'; there are: default, blog, shop.\n"
        assert (status, out) == (2, "")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--once", "--status"], "--once and --status exclude each other."),
            (["--status", "--retry"], "--status and --retry exclude each other."),
            (
                ["--pause", AUTHOR, "--resume", AUTHOR],
                "--pause and --resume exclude each other.",
            ),
            (["--pause", AUTHOR, "--retry"], "--pause and --retry exclude each other."),
            (
                ["--once", "--pause", AUTHOR, "--retry"],
                "--once and --pause and --retry exclude each other.",
            ),
        ],
    )
    def test_options_that_exclude_each_other(self, arguments, message):
        assert run(*arguments) == (2, "", message + "\n")
        assert paused("default") == set()
