"""What was said, and what is owed?"""
