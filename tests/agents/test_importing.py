"""Articles that are written elsewhere: how they come in, and that what goes out comes back the same."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from knowledge import article_files
from knowledge.article_files import Draft, Unreadable, find_markdown, read_csv, read_markdown, read_upload
from knowledge.importing import BadDrafts, import_articles
from knowledge.models import TEXT_FIELDS, Article
from tenants.models import Tenant
from tests.agents.conftest import Write

#: What is easily lost on the way.
BODIES = [
    "Plain.",
    'Quotes ", commas, and\nlines.\n\n---\n\ntitle: no',
    "A browser's\r\nline ends.\r\n\r\nEnd.",
    "  indented\n\ttabs  \n",
    "日本語 👩‍💻",
    "",
]


def texts(tenant: Tenant) -> list[tuple[str, ...]]:
    return sorted(Article.objects.for_tenant(tenant.id).values_list(*TEXT_FIELDS))


def run(*arguments: object) -> str:
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def articles(acme: Tenant, write: Write) -> Tenant:
    for number, body in enumerate(BODIES):
        write(
            f"Title: {number} “—”",
            body or "x",
            category="Ä, b",
            language="de-AT",
            source_url=f"https://a.example/{number}",
        )
    write("Draft", "Not yet.", state=Article.State.DRAFT)
    return acme


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_what_goes_out_comes_back_exactly(articles: Tenant, globex: Tenant, tmp_path: Path, name: str) -> None:
    run("export_articles", articles.id, tmp_path / name)
    assert "7 new, 0 changed, 0 the same" in run("import_articles", globex.id, tmp_path / name)
    assert texts(globex) == texts(articles)


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_what_is_there_already_stays_as_it_is(articles: Tenant, tmp_path: Path, name: str) -> None:
    run("export_articles", articles.id, tmp_path / name)
    assert "0 new, 0 changed, 7 the same" in run("import_articles", articles.id, tmp_path / name)


def test_articles_of_the_same_title_come_back_as_two(
    acme: Tenant, globex: Tenant, write: Write, tmp_path: Path
) -> None:
    write("Same", "One.")
    write("Same", "Two.")
    run("export_articles", acme.id, tmp_path / "out.csv")
    assert "2 new" in run("import_articles", globex.id, tmp_path / "out.csv")
    assert "2 the same" in run("import_articles", acme.id, tmp_path / "out.csv")


def test_the_id_of_another_tenants_article_is_nobodys(acme: Tenant, globex: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp.")
    import_articles(tenant=globex, drafts=[Draft("x", {"id": str(article.id), "title": "Mine", "body": "Now."})])
    assert texts(acme)[0][0] == "Lamps"
    assert Article.objects.for_tenant(globex.id).get().id != article.id


def test_an_article_is_changed_by_its_source_or_its_title(acme: Tenant, write: Write) -> None:
    by_title = write("Lamps", "A lamp.", category="Light")
    by_source = write("Old title", "A chair.", source_url="https://a.example/chairs")
    drafts = [
        Draft("1", {"title": "Lamps", "body": "Many lamps."}),
        Draft("2", {"title": "Chairs", "body": "A chair.", "source_url": "https://a.example/chairs"}),
        Draft("3", {"title": "New", "body": "New."}),
    ]
    assert str(import_articles(tenant=acme, drafts=drafts)) == "1 new, 2 changed, 0 the same as before"
    by_title.refresh_from_db()
    by_source.refresh_from_db()
    assert (by_title.body, by_title.category, by_source.title) == ("Many lamps.", "Light", "Chairs")


def test_where_one_row_is_bad_nothing_is_imported(acme: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text('title,body,language\nGood,"two\nlines",en\n,No title,en\nBad,x,not a language\nLong,,en\n')
    with pytest.raises(CommandError) as refused:
        run("import_articles", acme.id, file)
    told = str(refused.value)
    assert "in.csv, line 4: title this field cannot be blank." in told
    assert "in.csv, line 5: language give a language tag, like en or de-AT." in told
    assert "in.csv, line 6: body must not be empty" in told
    assert texts(acme) == []
    assert "1 new, 0 changed, 0 the same as before, 3 left out" in run("import_articles", acme.id, file, "--skip-bad")


def test_an_article_is_not_imported_twice_at_once(acme: Tenant) -> None:
    drafts = [Draft("line 2", {"title": "A", "body": "1"}), Draft("line 3", {"title": "A", "body": "2"})]
    with pytest.raises(BadDrafts, match=r"line 3: This is the same article as line 2\."):
        import_articles(tenant=acme, drafts=drafts)


def test_a_title_that_several_have_names_none(acme: Tenant, write: Write) -> None:
    write("Same", "One.")
    write("Same", "Two.")
    with pytest.raises(BadDrafts, match="Several articles have this title"):
        import_articles(tenant=acme, drafts=[Draft("x", {"title": "Same", "body": "Three."})])


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        ("# How to return\n\nSend it.\n", "How to return", "Send it."),
        ("Send it.\n", "Return policy", "Send it."),
        ("Before.\n\n# Heading\n\nAfter.\n", "Heading", "Before.\n\n# Heading\n\nAfter."),
    ],
)
def test_markdown_without_a_front_has_its_heading_or_its_name_as_title(text: str, title: str, body: str) -> None:
    assert read_markdown(text, "folder/return-policy.md").fields == {"title": title, "body": body}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("body,category\n", "line 1: the first line must name the columns, title and body"),
        ("title,body,colour\n", "line 1: there is no column 'colour'"),
        ("title,body,body\n", "line 1: a column is there twice"),
        ('title,body\n"a\nb",c\nd\n', "line 4: it has 1 columns, the first line 2"),
        ('title,body\na,"b" c\n', "line 2: this is no CSV"),
        ("", "line 1"),
    ],
)
def test_a_csv_that_is_none_is_refused_by_its_line(text: str, problem: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_csv(text, "in.csv")
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\ntitle: a\n", "the line --- is missing"),
        ("---\nlayout: page\n---\nx", "line 2: it must look like"),
        ("---\ntitle\n---\nx", "line 2: it must look like"),
    ],
)
def test_a_front_that_is_none_is_refused_by_its_line(text: str, problem: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_markdown(text, "a.md")
    assert problem in str(refused.value)


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".md", text)
    return content.getvalue()


def test_a_zip_of_markdown_is_read() -> None:
    drafts = read_upload("all.zip", zipped(b="# B\n\nb", a__c="# C\n\nc"))
    assert [(draft.place, draft.fields["title"]) for draft in drafts] == [("a/c.md", "C"), ("b.md", "B")]


def test_a_zip_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(article_files, "MOST_UNPACKED_BYTES", 100_000)
    bomb = zipped(a="x" * 60_000, b="x" * 60_000)
    assert len(bomb) < 1000
    with pytest.raises(Unreadable, match="unpacks to more than"):
        read_upload("all.zip", bomb)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.exe", b""), ("a.zip", b"no zip"), ("a.csv", b"\xff\xfe"), ("a.zip", zipped()), ("a.md", b"x" * 1_048_577)],
)
def test_an_upload_that_can_not_be_read_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(Unreadable, match=name[:1]):
        read_upload(name, content)


def test_an_export_overwrites_nothing(acme: Tenant, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(CommandError, match="is there already"):
        run("export_articles", acme.id, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_the_export_names_the_ids(acme: Tenant, write: Write, tmp_path: Path) -> None:
    article = write("Lamps", "A lamp.")
    run("export_articles", acme.id, tmp_path / "out.csv")
    [row] = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert row["id"] == str(article.id)


def test_a_folder_without_articles_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"\.md"):
        find_markdown(tmp_path)


@pytest.mark.django_db
def test_a_tenant_that_does_not_exist_is_named(tmp_path: Path) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(CommandError, match=nobody):
        run("export_articles", nobody, tmp_path / "out.csv")
