from django.apps import AppConfig


class BlogConfig(AppConfig):
    name = "sample_project.blog"
