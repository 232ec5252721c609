from django.db import migrations, models

from core.db.migration_operations import AlterFieldsAtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0006_import_leases'),
    ]

    operations = [
        AlterFieldsAtOnce(
            model_name='article',
            fields={
                'embedded_by': models.CharField(blank=True, db_default='', default='', editable=False, max_length=200),
                'stamp': models.BigIntegerField(db_default=0, default=0, editable=False),
            },
        ),
    ]
