"""What do the documents say of the wire?"""
