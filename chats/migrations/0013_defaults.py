from django.db import migrations, models

from core.db.migration_operations import AlterFieldsAtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('chats', '0012_connection_of_network'),
    ]

    operations = [
        AlterFieldsAtOnce(
            model_name='chat',
            fields={
                'escalation_reason': models.TextField(blank=True, db_default='', default='', editable=False),
                'recent_statuses': models.TextField(db_default=models.Value('[]'), default=list, editable=False),
                'status_count': models.PositiveIntegerField(db_default=0, default=0, editable=False),
            },
        ),
    ]
