"""How fast is it, beside the bare server?"""
