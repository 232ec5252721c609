from django.db import migrations, models

from core.db.migration_operations import AddUniqueBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("chats", "0009_connection_slot"),
    ]

    operations = [
        AddUniqueBeside(
            model_name="connection",
            constraint=models.UniqueConstraint(
                condition=models.Q(("slot__isnull", False)),
                fields=("tenant", "of_visitor", "slot"),
                name="connection_slot",
            ),
        ),
    ]
