import django.core.validators
from django.db import migrations, models

from core.db.migration_operations import AlterFieldsAtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0007_login_attempts_by_browser'),
    ]

    operations = [
        AlterFieldsAtOnce(
            model_name='tenant',
            fields={
                'answer_threshold': models.FloatField(db_default=0.3, default=0.3, help_text='From 0 to 1: an article that fits the question less is no answer, and the built-in agent says that it does not know.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)], verbose_name='least score of an answer'),
                'away_message': models.TextField(blank=True, db_default='', default='', help_text='What a visitor reads besides, who is handed to a person when no staff is there.'),
                'escalation_after': models.PositiveSmallIntegerField(db_default=3, default=3, help_text='One after the other: failed ones, and those that say that the agent does not know. 0: never.', verbose_name='replies without an answer until a person takes over'),
                'escalation_keywords': models.TextField(blank=True, db_default=models.Value('[]'), default=list, help_text='Whoever says one of these is handed to a person, as a JSON list.'),
                'history_max_tokens': models.PositiveIntegerField(db_default=16000, default=16000, help_text='The oldest messages are left out.', verbose_name='most tokens of a chat that the model is told'),
                'model_api_key': models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='key of the model'),
                'model_base_url': models.CharField(blank=True, db_default='', default='', help_text="Where this tenant's own model is, for example https://models.example.com/v1. Empty: the installation's, with the installation's key.", max_length=2000, verbose_name='address of the model'),
                'synonyms': models.TextField(blank=True, db_default=models.Value('[]'), default=list, help_text='Words that mean the same here, as a JSON list of lists.'),
            },
        ),
    ]
