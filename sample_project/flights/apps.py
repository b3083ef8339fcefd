from django.apps import AppConfig


class FlightsConfig(AppConfig):
    name = "sample_project.flights"
