from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chats', '0001_chats'),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='rating',
            field=models.CharField(blank=True, choices=[('up', 'Up'), ('down', 'Down')], max_length=4, null=True),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('rating', 'down')), fields=['chat'], name='message_rated_down'),
        ),
    ]
