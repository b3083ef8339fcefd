import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
import xdbrel.indexes
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='IntentClaim',
            fields=[
                ('token', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('intents', models.JSONField()),
                ('status', models.CharField(choices=[('pending', 'pending'), ('applied', 'applied'), ('confirmed', 'confirmed'), ('set_aside', 'set aside')], max_length=10)),
                ('until', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'intent claim',
                'verbose_name_plural': 'intent claims',
            },
        ),
        migrations.CreateModel(
            name='PausedRelation',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('relation', models.CharField(max_length=255, unique=True)),
                ('paused_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': 'paused relation',
                'verbose_name_plural': 'paused relations',
            },
        ),
        migrations.CreateModel(
            name='CascadeIntent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('relation', models.CharField(max_length=255)),
                ('source_alias', models.CharField(blank=True, default='', max_length=100)),
                ('keys', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('new_keys', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('deletion', models.CharField(blank=True, default='', max_length=32)),
                ('cause', models.CharField(choices=[('orm', 'ORM'), ('trigger', 'trigger')], default='orm', max_length=10)),
                ('status', models.CharField(choices=[('pending', 'pending'), ('applied', 'applied'), ('confirmed', 'confirmed'), ('set_aside', 'set aside')], default='pending', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('available_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('claimed_by', models.CharField(blank=True, default='', max_length=64)),
                ('last_error', models.TextField(blank=True, default='')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('applied_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'cascade intent',
                'verbose_name_plural': 'cascade intents',
                'indexes': [xdbrel.indexes.PartialIndex(fields=['status', 'available_at', 'id'], name='xdbrel_intent_due', where=models.Q(('status', 'pending'), ('status', 'applied'), ('status', 'set_aside'), _connector='OR')), xdbrel.indexes.PartialIndex(fields=['applied_at'], name='xdbrel_intent_old', where=models.Q(('status', 'confirmed')))],
            },
        ),
        migrations.CreateModel(
            name='ScanRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('relation', models.CharField(db_index=True, max_length=255)),
                ('source_alias', models.CharField(max_length=100)),
                ('target_alias', models.CharField(max_length=100)),
                ('strategy', models.CharField(max_length=30)),
                ('status', models.CharField(choices=[('running', 'running'), ('complete', 'complete'), ('failed', 'failed')], default='running', max_length=10)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('seconds', models.FloatField(blank=True, null=True)),
                ('orphans', models.BigIntegerField(default=0)),
                ('distinct_keys', models.BigIntegerField(default=0)),
                ('last_error', models.TextField(blank=True, default='')),
            ],
            options={
                'verbose_name': 'scan run',
                'verbose_name_plural': 'scan runs',
                'indexes': [models.Index(fields=['relation', '-started_at'], name='xdbrel_run_latest')],
            },
        ),
        migrations.CreateModel(
            name='Orphan',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('sources', models.BigIntegerField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='findings', to='xdbrel.scanrun')),
            ],
            options={
                'verbose_name': 'orphan',
                'verbose_name_plural': 'orphans',
            },
        ),
    ]
