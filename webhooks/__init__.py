"""Who is told what happened?"""
