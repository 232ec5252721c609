from django.db import migrations, models

from core.db.migration_operations import AddIndexBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("chats", "0011_connection_without_slot"),
    ]

    operations = [
        AddIndexBeside(
            model_name="connection",
            index=models.Index(
                condition=models.Q(("network__isnull", False)),
                fields=["tenant", "network"],
                name="connection_of_network",
            ),
        ),
    ]
