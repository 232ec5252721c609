"""How does a reply get over Server-Sent Events?"""
