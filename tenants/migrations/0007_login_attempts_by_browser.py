from django.db import migrations, models

from core.db.migration_operations import AddIndexBeside


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("tenants", "0006_known_browsers"),
    ]

    operations = [
        AddIndexBeside(
            model_name="loginattempt",
            index=models.Index(fields=["browser", "at"], name="login_attempt_by_browser"),
        ),
    ]
