"""What do pages ask this room?"""
