"""How does a reply get over a WebSocket?"""
