"""What is Lexicon measured against? These run in `.venv-bench`, not in Lexicon's environment."""
