from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("chats", "0007_reply_silent_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="connection",
            name="network",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="connection",
            name="of_visitor",
            field=models.BooleanField(db_default=False, editable=False),
        ),
    ]
