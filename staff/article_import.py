"""Which forms do staff fill in to bring articles in, or to take them along?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from knowledge.article_files import MOST_BYTES, MOST_FILES, MOST_ROWS, MOST_UNPACKED_BYTES, Unreadable
from knowledge.importing import BadDrafts, Imported, NotImported, import_articles
from knowledge.models import Article
from knowledge.parser_process import read_upload
from knowledge.web_pages import read_page
from staff.forms import tenant_field

#: Things that are wrong with an import and are shown.
SHOWN_PROBLEMS = 50


class ImportForm(forms.Form):
    """Where articles come from, and whose they become."""

    tenant = tenant_field(Article)
    file = forms.FileField(
        required=False,
        help_text=f"A .csv, a .md or a .zip of .md files, at most {MOST_BYTES // 2**20} MiB: {MOST_ROWS:,} rows, or "
        f"{MOST_FILES:,} files that unpack to {MOST_UNPACKED_BYTES // 2**20} MiB.",
    )
    address = forms.URLField(
        required=False, max_length=2000, assume_scheme="https", help_text="Or a page of the public web."
    )

    def clean(self) -> None:
        super().clean()
        if bool(self.cleaned_data.get("file")) == bool(self.cleaned_data.get("address")) and not self.errors:
            raise ValidationError("Choose a file or type an address: one of them.")

    def carry_out(self, by: Any) -> Imported | None:
        """Import it; None, with the form's errors saying why, where nothing was imported."""
        file, address = self.cleaned_data["file"], self.cleaned_data["address"]
        try:
            drafts = read_upload(file.name, file.read(MOST_BYTES + 1)) if file else [read_page(address)]
            return import_articles(tenant=self.cleaned_data["tenant"], drafts=drafts, by=by)
        except Unreadable as error:
            self.add_error(None, str(error))
        except BadDrafts as error:
            self.add_error(None, ["Nothing was imported.", *error.problems[:SHOWN_PROBLEMS]])
        except NotImported as error:
            self.add_error(None, str(error))
        return None


class ExportForm(forms.Form):
    """Whose articles are wanted."""

    tenant = tenant_field(Article)
