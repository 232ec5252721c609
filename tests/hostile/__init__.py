"""What do strangers send, and models, and authors of articles? `make hostile` measures what it costs the others."""
