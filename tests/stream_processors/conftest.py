from hypothesis import settings

# How long an example takes says nothing: the machine has other work, too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
