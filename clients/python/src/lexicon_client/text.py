"""How does a text that is told again, or begun anew, reach the caller without a double or a gap?"""

from __future__ import annotations


class Token(str):
    """The next characters of a reply.

    With `restart` they are not the next: the reply was begun anew by the service and says something else,
    so what came before is void, and this is its text from the beginning.
    """

    __slots__ = ("restart",)
    restart: bool

    def __new__(cls, text: str, *, restart: bool = False) -> Token:
        """A token; `restart` where it replaces all before it."""
        token = super().__new__(cls, text)
        token.restart = restart
        return token


class Text:
    """The text of one reply: what the service has told of it, and what the caller was shown."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        #: Whether it is told again, and how much of what was shown already that is.
        self._again = False
        self._told = 0

    @property
    def shown(self) -> str:
        """What the caller was shown."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def begin(self) -> None:
        """The service tells it from its beginning (again)."""
        self._told = 0
        self._again = bool(self.shown)

    def add(self, piece: str) -> list[Token]:
        """The service tells the next characters: what the caller is to be shown of them."""
        if not self._again:
            self._parts.append(piece)
            return [Token(piece)] if piece else []
        shown = self.shown
        if shown.startswith(piece, self._told):
            self._told += len(piece)
            return []  # The caller has all of this already.
        self._again = False
        return self._show(shown[: self._told] + piece)

    def end(self, whole: str) -> list[Token]:
        """The service has told everything, and it was this."""
        self._again = False
        return self._show(whole)

    def finish(self) -> list[Token]:
        """The service has told everything there is."""
        return self.end(self.shown[: self._told]) if self._again else []

    def _show(self, text: str) -> list[Token]:
        before = self.shown
        self._parts = [text]
        if text == before:
            return []
        if text.startswith(before):
            return [Token(text[len(before) :])]
        return [Token(text, restart=True)]
