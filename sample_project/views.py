"""Pages that read across databases, each in a number of queries that does not grow."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from sample_project.blog.models import Note, Post
from sample_project.counting import counted_queries
from sample_project.flights.models import Flight
from sample_project.search import SearchForm
from xdbrel import explain_cross_db, relations
from xdbrel.prefetch import prefetch_cross_db

PAGE = 50


def page(template: str) -> Callable[..., Callable[[HttpRequest], HttpResponse]]:
    """Render what the view returns, and show the queries that view and template made."""

    def decorate(view: Callable[[HttpRequest], dict[str, Any]]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def wrapped(request: HttpRequest) -> HttpResponse:
            with counted_queries() as queries:
                # The base template shows the counter at its end, when all of them are made.
                return render(request, template, {"queries": queries, **view(request)})

        return wrapped

    return decorate


@page("sample_project/index.html")
def index(request: HttpRequest) -> dict[str, Any]:
    return {"relations": relations.all_relations()}


@page("sample_project/posts.html")
def posts(request: HttpRequest) -> dict[str, Any]:
    found = Post.objects.order_by("-created_at", "-pk")
    editor = request.GET.get("editor", "")
    if editor:
        found = found.filter(editors__username=editor)
    shown = prefetch_cross_db(found[:PAGE], "author", "editors", "comments__author")
    return {"posts": shown, "editor": editor}


@page("sample_project/notes.html")
def notes(request: HttpRequest) -> dict[str, Any]:
    newest = Note.objects.order_by("-pk")[:PAGE]
    return {"notes": prefetch_cross_db(newest, "about", "author")}


@page("sample_project/flights.html")
def flights(request: HttpRequest) -> dict[str, Any]:
    pages = Paginator(Flight.objects.order_by("time_hour", "pk"), PAGE)
    shown = pages.get_page(request.GET.get("page"))
    shown.object_list = prefetch_cross_db(
        list(shown.object_list), "carrier", "plane", "origin", "dest"
    )
    return {"page": shown}


@page("sample_project/search.html")
def search(request: HttpRequest) -> dict[str, Any]:
    form = SearchForm(request.GET)
    found = form.flights()
    shown = Paginator(found, PAGE).get_page(request.GET.get("page"))
    # What the paginator asks for; the relations of the rows are read afterwards.
    plan = explain_cross_db(found[shown.start_index() - 1 if shown else 0 :][:PAGE])
    query = request.GET.copy()
    query.pop("page", None)
    return {"form": form, "page": shown, "plan": plan, "query": query.urlencode()}
