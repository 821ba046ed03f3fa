"""Properties are tested without a wall clock: a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("mirage", deadline=None)
settings.load_profile("mirage")
