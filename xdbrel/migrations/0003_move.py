import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('xdbrel', '0002_integrity'),
    ]

    operations = [
        migrations.CreateModel(
            name='MoveRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('model', models.CharField(db_index=True, max_length=255)),
                ('lease', models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ('source_alias', models.CharField(max_length=100)),
                ('destination_alias', models.CharField(max_length=100)),
                ('selection', models.CharField(max_length=64)),
                ('options', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('tables', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('status', models.CharField(choices=[('copying', 'copying'), ('kept', 'kept'), ('removing', 'removing'), ('complete', 'complete'), ('abandoned', 'abandoned')], default='copying', max_length=10)),
                ('actor', models.CharField(blank=True, default='', max_length=255)),
                ('claimed_by', models.CharField(blank=True, default='', max_length=64)),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('seconds', models.FloatField(blank=True, null=True)),
                ('resumed', models.PositiveIntegerField(default=0)),
                ('counts', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('checksums', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('removed', models.BigIntegerField(default=0)),
                ('last_error', models.TextField(blank=True, default='')),
            ],
            options={
                'verbose_name': 'move',
                'verbose_name_plural': 'moves',
            },
        ),
        migrations.CreateModel(
            name='MoveBatch',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('model', models.CharField(max_length=255)),
                ('after', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('upto', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('status', models.CharField(choices=[('copying', 'copying'), ('copied', 'copied'), ('verified', 'verified'), ('removed', 'removed'), ('brought', 'brought back')], default='copying', max_length=10)),
                ('digests', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('pending', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='batches', to='xdbrel.moverun')),
            ],
            options={
                'verbose_name': 'batch of a move',
                'verbose_name_plural': 'batches of moves',
                'indexes': [models.Index(fields=['run', 'model', 'status'], name='xdbrel_batch_of_move')],
            },
        ),
    ]
