from django.db import migrations


def add(apps, schema_editor):
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).create(
        name=f"made in {schema_editor.connection.alias}"
    )


def note(apps, schema_editor):
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).create(
        name=f"noted in {schema_editor.connection.alias}"
    )


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        # Wherever a model of the app lives; where the hint of a model, or one's own, says.
        migrations.RunPython(add, migrations.RunPython.noop, hints={"model_name": "product"}),
        migrations.RunPython(note, migrations.RunPython.noop, hints={"only": "customers"}),
    ]
