"""How is the database reached, on PostgreSQL and on SQLite?"""
