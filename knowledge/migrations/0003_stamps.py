from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0002_list_indexes'),
        ('tenants', '0004_agents'),
    ]

    operations = [
        migrations.DeleteModel(
            name='Posting',
        ),
        migrations.RemoveIndex(
            model_name='article',
            name='article_lengths',
        ),
        migrations.RemoveField(
            model_name='article',
            name='length',
        ),
        migrations.AddField(
            model_name='article',
            name='stamp',
            field=models.BigIntegerField(default=0, editable=False),
        ),
        migrations.AddIndex(
            model_name='article',
            index=models.Index(fields=['tenant', 'state', 'stamp'], name='article_stamps'),
        ),
    ]
