"""What holds of Lexicon, seen from its users' side of the wire."""

import functools

import httpx._transports.default as transports

# Every client of httpx loads the machine's certificates anew: 58 ms of processor time, more than most tests take
# besides. One context serves them all.
transports.create_ssl_context = functools.cache(transports.create_ssl_context)
