"""Redis as every program reaches it: URL, clients, Sentinels, and what refusals mean."""
