"""What does a visitor see? The page, the widget, and what `make run` shows."""
