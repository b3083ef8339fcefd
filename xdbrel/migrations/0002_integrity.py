import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('xdbrel', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('work', models.CharField(max_length=30, primary_key=True, serialize=False)),
                ('ran_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('worker', models.CharField(blank=True, default='', max_length=255)),
            ],
            options={
                'verbose_name': 'heartbeat',
                'verbose_name_plural': 'heartbeats',
            },
        ),
        migrations.CreateModel(
            name='QuarantinedRow',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('relation', models.CharField(db_index=True, max_length=255)),
                ('repair', models.CharField(db_index=True, max_length=32)),
                ('unit', models.CharField(db_index=True, max_length=32)),
                ('model', models.CharField(max_length=255)),
                ('key', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('target_key', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('data', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': 'quarantined row',
                'verbose_name_plural': 'quarantined rows',
            },
        ),
        migrations.AddField(
            model_name='scanrun',
            name='base',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='xdbrel.scanrun'),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='confirmed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='confirmed_upto',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='estimate',
            field=models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='healed',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='horizon',
            field=models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='mode',
            field=models.CharField(choices=[('full', 'full'), ('incremental', 'incremental'), ('sample', 'sample')], default='full', max_length=12),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='reason',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='resumed',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='seen',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='orphan',
            name='range',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.CreateModel(
            name='ScanLease',
            fields=[
                ('relation', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('claimed_by', models.CharField(max_length=64)),
                ('until', models.DateTimeField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='xdbrel.scanrun')),
            ],
            options={
                'verbose_name': 'scan lease',
                'verbose_name_plural': 'scan leases',
            },
        ),
        migrations.CreateModel(
            name='RepairRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('relation', models.CharField(db_index=True, max_length=255)),
                ('policy', models.CharField(max_length=30)),
                ('options', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('dry_run', models.BooleanField(default=False)),
                ('source_alias', models.CharField(max_length=100)),
                ('target_alias', models.CharField(max_length=100)),
                ('status', models.CharField(choices=[('running', 'running'), ('stopped', 'stopped'), ('complete', 'complete'), ('failed', 'failed')], default='running', max_length=10)),
                ('actor', models.CharField(blank=True, default='', max_length=255)),
                ('claimed_by', models.CharField(blank=True, default='', max_length=64)),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('seconds', models.FloatField(blank=True, null=True)),
                ('keys', models.BigIntegerField(default=0)),
                ('healed', models.BigIntegerField(default=0)),
                ('left', models.BigIntegerField(default=0)),
                ('rows', models.BigIntegerField(default=0)),
                ('counts', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('position', models.BigIntegerField(default=0)),
                ('last_error', models.TextField(blank=True, default='')),
                ('run', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='repairs', to='xdbrel.scanrun')),
            ],
            options={
                'verbose_name': 'repair run',
                'verbose_name_plural': 'repair runs',
                'indexes': [models.Index(fields=['relation', '-started_at'], name='xdbrel_repair_latest')],
            },
        ),
        migrations.CreateModel(
            name='ScanRange',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('after', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('upto', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('position', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('recorded', models.BigIntegerField(default=0)),
                ('status', models.CharField(choices=[('pending', 'pending'), ('complete', 'complete'), ('failed', 'failed')], default='pending', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('claimed_by', models.CharField(blank=True, default='', max_length=64)),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('seen', models.BigIntegerField(default=0)),
                ('orphans', models.BigIntegerField(default=0)),
                ('distinct_keys', models.BigIntegerField(default=0)),
                ('last_error', models.TextField(blank=True, default='')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ranges', to='xdbrel.scanrun')),
            ],
            options={
                'verbose_name': 'scan range',
                'verbose_name_plural': 'scan ranges',
                'constraints': [models.UniqueConstraint(fields=('run', 'number'), name='xdbrel_range_of_run')],
            },
        ),
    ]
