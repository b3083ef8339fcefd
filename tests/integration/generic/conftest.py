"""Where content types stand: in ``default``, in a third home, or everywhere with other ids."""

import pytest
from django.contrib.contenttypes.models import ContentType

#: Where notes find their content types.
BESIDE_NOTES = {"one_home": "default", "third_home": "shop", "everywhere": "blog"}


@pytest.fixture(scope="session", autouse=True)
def tables_of_types_stand(tables_of_types):
    """The tables stand for every test of this folder."""


@pytest.fixture(autouse=True)
def forgotten_types():
    """Nothing that was found out of content types outlives a test."""
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


@pytest.fixture(params=["one_home", "third_home", "everywhere"])
def types(request):
    """The alias where notes find their content types, in each of the three ways."""
    if request.param == "third_home":
        request.getfixturevalue("types_in_shop")
    elif request.param == "everywhere":
        request.getfixturevalue("types_everywhere")
    return BESIDE_NOTES[request.param]


@pytest.fixture
def type_id(types):
    """Return the id of a model's content type as notes name it."""

    def found(model):
        label = model._meta.label_lower.split(".")
        return ContentType.objects.using(types).get(app_label=label[0], model=label[1]).pk

    return found
