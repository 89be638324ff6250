from hypothesis import settings

# An example's duration means nothing: the machine has other load, too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
