"""How is an answer made?"""
