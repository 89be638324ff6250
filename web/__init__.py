"""The page that people look at: its files, which the API serves as they are."""
