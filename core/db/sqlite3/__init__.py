"""Django's SQLite backend, with writers in this process who wait in line (base.py)."""
