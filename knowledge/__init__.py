"""What does a tenant know?"""
