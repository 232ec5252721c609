"""How is the service wired together?"""
