"""Log records as JSON: what is given beside the message is in the line."""

import json
import logging

import pytest
from django.contrib.auth.models import User

from tests.apps.blog.models import Post
from xdbrel import relations
from xdbrel.contrib.json_logs import Formatter
from xdbrel.integrity import history
from xdbrel.integrity.repair import repair
from xdbrel.integrity.restore import restore
from xdbrel.integrity.scan import scan

pytestmark = pytest.mark.django_db(databases="__all__")


def test_records(caplog):
    """Scans, repairs, restores and prunes say action, relation and alias, every one."""
    caplog.set_level(logging.INFO, logger="xdbrel")
    Post.objects.create(title="secret", author_id=10**6)
    relation = relations.get("blog.Post.author")
    scan(relation)
    repair(relation, "quarantine")
    User.objects.create(pk=10**6, username="back")
    restore(relation)
    history.prune()
    lines = [json.loads(Formatter().format(record)) for record in caplog.records]
    actions = [(line["action"], line["relation"], line["alias"]) for line in lines]
    assert actions == [
        ("scan", "blog.Post.author", "blog"),
        ("confirm", "blog.Post.author", "default"),
        ("repair", "blog.Post.author", "blog"),
        ("restore", "blog.Post.author", "blog"),
        ("prune_history", None, "default"),
    ]
    assert lines[2]["rows"] == 1
    assert lines[2]["level"] == "INFO"
    assert lines[2]["logger"] == "xdbrel.integrity.repair"
    assert not any("secret" in json.dumps(line) for line in lines)


def test_errors():
    try:
        raise ValueError("no")
    except ValueError as error:
        record = logging.makeLogRecord(
            {"msg": "%s failed", "args": ("it",), "exc_info": (ValueError, error, None)}
        )
    line = json.loads(Formatter().format(record))
    assert (line["message"], line["error"]) == ("it failed", "ValueError: no")
