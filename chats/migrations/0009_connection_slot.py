from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("chats", "0008_visitor_connections"),
    ]

    operations = [
        migrations.AddField(
            model_name="connection",
            name="slot",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
    ]
