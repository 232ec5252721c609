"""Who is in every installation: tenants that strangers may attack through, one that does nothing, and the staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from chats.models import Chat, Message
from knowledge.article_store import save_article
from knowledge.demo import save_demo_articles
from knowledge.models import Article
from tenants.models import ApiKey, EndUser
from tenants.provisioning import do_create_key, do_create_tenant
from tests.support.actors import UNLIMITED

#: What Acme knows, besides the shop's articles: one article in each of these languages.
LANGUAGES = {
    "ar": ("إرجاع السلع", "يمكنك إرجاع أي سلعة خلال ثلاثين يوما."),
    "de": ("Rückgabe", "Artikel können innerhalb von dreißig Tagen zurückgegeben werden."),
    "el": ("Επιστροφές", "Μπορείτε να επιστρέψετε ένα προϊόν μέσα σε τριάντα ημέρες."),
    "es": ("Devoluciones", "Puedes devolver un artículo dentro de treinta días."),
    "fr": ("Retours", "Vous pouvez retourner un article sous trente jours."),
    "hi": ("वापसी", "आप तीस दिनों के भीतर सामान लौटा सकते हैं।"),
    "ja": ("返品", "商品は三十日以内に返品できます。"),
    "ru": ("Возврат", "Товар можно вернуть в течение тридцати дней."),
    "th": ("การคืนสินค้า", "คุณสามารถคืนสินค้าได้ภายในสามสิบวัน"),
    "tr": ("İadeler", "Bir ürünü otuz gün içinde iade edebilirsiniz."),
}
KEYWORDS = [
    "human",
    "real person",
    "müşteri temsilcisi",
    "оператор",
    "إنسان",
    "शिकायत",
    "人工客服",
    "speak to a manager",
]
#: The ruler of 250 characters that some people put between the parts of a prompt, and what stands around it.
INSTRUCTIONS = "Answer in short sentences.\n" + "=" * 250 + "\nBe kind.\n" + "= " * 250 + "\n" + "-" * 250 + "\nStop."
#: Messages of the long chat, and chats of its user.
MESSAGES, CHATS = 8_000, 1_000
PASSWORD = "correct horse battery staple"


@transaction.atomic
def make_cast() -> dict[str, Any]:
    """Everybody, as attackers know them: keys, ids and passwords by name.

    `globex` does nothing; `acme` has the page and the usual limits, `keywords` and `ruled` have a scripted model,
    `roomy` has no limits. `admin` and `olga` are superusers.
    """
    plain = {"escalation_after": 0}
    cast: dict[str, Any] = {
        "globex": _tenant("Globex", model="builtin", **UNLIMITED),
        "acme": _tenant("Acme", model="builtin", **plain),
        "keywords": _tenant("Keywords", model="openai:test", escalation_keywords=KEYWORDS, **plain),
        "ruled": _tenant("Ruled", model="openai:test", instructions=INSTRUCTIONS, **plain),
        "roomy": _tenant("Roomy", model="builtin", **UNLIMITED),
    }
    for name in ("globex", "acme"):
        save_demo_articles(cast[name]["tenant"])
    for language, (title, body) in LANGUAGES.items():
        save_article(Article(tenant=cast["acme"]["tenant"], title=title, body=body, language=language))
    cast["deep_chat"] = _long_chat(cast["roomy"]["tenant"])
    for name in ("admin", "olga"):
        User.objects.create_superuser(name, password=PASSWORD)
        cast[name] = {"name": name, "password": PASSWORD}
    for told in cast.values():
        if isinstance(told, dict):
            told.pop("tenant", None)
    return cast


def _tenant(name: str, **policy: Any) -> dict[str, Any]:
    tenant = do_create_tenant(name=name, **policy)
    _, tenant_key = do_create_key(tenant=tenant, kind=ApiKey.Kind.TENANT)
    _, customer_key = do_create_key(tenant=tenant, kind=ApiKey.Kind.CUSTOMER)
    return {"tenant": tenant, "id": str(tenant.id), "tenant_key": tenant_key, "customer_key": customer_key}


def _long_chat(tenant: Any) -> str:
    """The id of a chat of very many messages, of a user with very many chats."""
    user = EndUser.objects.create(tenant=tenant, external_id="deep")
    at = timezone.now() - timedelta(days=1)
    chats = [Chat(tenant=tenant, user=user, title=f"Chat {number}", updated_at=at) for number in range(CHATS)]
    chats[0].last_sequence, chats[0].last_message_at = MESSAGES, at
    Chat.objects.bulk_create(chats, batch_size=500)
    messages = [
        Message(
            tenant=tenant,
            chat=chats[0],
            sequence=number,
            role="user",
            user=user,
            content=f"What is {number}?",
            created_at=at,
        )
        for number in range(1, MESSAGES + 1)
    ]
    Message.objects.bulk_create(messages, batch_size=500)
    return str(chats[0].id)
