from django.db import migrations, models

from core.db.migration_operations import AddIndexBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("chats", "0010_connection_slot_once"),
    ]

    operations = [
        AddIndexBeside(
            model_name="connection",
            index=models.Index(
                condition=models.Q(("slot__isnull", True)),
                fields=["tenant", "of_visitor", "process"],
                name="connection_without_slot",
            ),
        ),
    ]
