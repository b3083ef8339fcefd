"""Which flights were asked for: one query over two databases, in the words of one."""

from django import forms
from django.db.models import Q, QuerySet

from sample_project.flights.models import Flight
from sample_project.reference.models import Airport, Plane


def manufacturers() -> list[tuple[str, str]]:
    names = Plane.objects.order_by("manufacturer").values_list("manufacturer", flat=True)
    return [("", "any"), *((name, name) for name in names.distinct())]


class SearchForm(forms.Form):
    """What the page may be asked; whatever is not understood is left out, and said."""

    manufacturer = forms.ChoiceField(label="Plane made by", choices=manufacturers, required=False)
    airport = forms.CharField(label="From or to", max_length=50, required=False)
    delay = forms.IntegerField(
        label="Minutes late, at least", min_value=-1_000, max_value=10_000, required=False
    )

    def flights(self) -> QuerySet[Flight]:
        """Return the flights that fulfil what was asked, by the names of their airlines."""
        self.full_clean()
        asked = self.cleaned_data
        found = Flight.objects.order_by("carrier__name", "time_hour", "pk")
        if asked.get("manufacturer"):
            found = found.filter(plane__manufacturer=asked["manufacturer"])
        if asked.get("airport"):
            # In lower case: MariaDB, as these databases are set up, tells it from upper.
            meant = Airport.objects.filter(name__lower__contains=asked["airport"].lower())
            # Not origin__name=… | dest__name=…, which joins both: some have no row to join.
            found = found.filter(Q(origin__in=meant) | Q(dest__in=meant))
        if asked.get("delay") is not None:
            found = found.filter(dep_delay__gte=asked["delay"])
        return found.prefetch_related("carrier", "plane", "origin", "dest")
