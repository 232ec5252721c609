"""How does the built-in agent answer, without any model?"""
