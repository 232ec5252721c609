"""How is the service wired together?"""

#: What is in development here: the next version, until CHANGELOG.md has a section of that name.
VERSION = "1.1.0.dev0"
