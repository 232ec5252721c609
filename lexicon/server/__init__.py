"""How are connections served? By uvicorn, with bounds on what a client may do."""
