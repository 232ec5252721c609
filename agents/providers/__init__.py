"""How does a model that is asked over HTTP write a reply?"""
