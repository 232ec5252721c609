"""How is a key made, and what does it look like?

`lxt_` or `lxc_`, 30 random base62 characters (178 bits) and the CRC32 of what stands before, in
base62, padded to six: a mistyped key is recognised without asking the database. Secret scanners
find keys by `lx[tc]_[0-9A-Za-z]{36}`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIXES = {"tenant": "lxt_", "customer": "lxc_"}
_SHAPE = re.compile(r"lx[tc]_[0-9A-Za-z]{36}")


def new_key(kind: str) -> str:
    """A fresh key of the kind "tenant" or "customer"."""
    body = _PREFIXES[kind] + "".join(secrets.choice(_ALPHABET) for _ in range(30))
    return body + checksum(body)


def checksum(body: str) -> str:
    """The six characters that end a key which starts with `body`."""
    number = zlib.crc32(body.encode())
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(6, "0")


def is_well_formed(key: str) -> bool:
    """Whether `key` has the shape and the checksum of a key; says nothing of whether it exists."""
    return bool(_SHAPE.fullmatch(key)) and secrets.compare_digest(checksum(key[:-6]), key[-6:])


def digest(key: str) -> str:
    """What is stored of a key. It is 178 random bits, so a plain SHA-256 cannot be reversed by guessing."""
    return hashlib.sha256(key.encode()).hexdigest()
