from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "sample_project.shop"
