"""How does it reach the client?"""
