import django.core.validators
from django.db import migrations, models


def follow_the_score(apps, schema_editor):
    """Scores are counted otherwise from now on. Who never chose a threshold gets the new one."""
    tenants = apps.get_model('tenants', 'Tenant').objects.using(schema_editor.connection.alias)
    tenants.filter(answer_threshold=0.2).update(answer_threshold=0.3)


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0004_agents'),
    ]

    operations = [
        migrations.AlterField(
            model_name='tenant',
            name='answer_threshold',
            field=models.FloatField(default=0.3, help_text='From 0 to 1: an article that fits the question less is no answer, and the built-in agent says that it does not know.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)], verbose_name='least score of an answer'),
        ),
        migrations.RunPython(follow_the_score, migrations.RunPython.noop),
    ]
