"""Who is calling, and how much may they do?"""
