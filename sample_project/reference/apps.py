from django.apps import AppConfig


class ReferenceConfig(AppConfig):
    name = "sample_project.reference"
