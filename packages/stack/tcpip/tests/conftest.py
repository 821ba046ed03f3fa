"""Properties are tested without a wall clock: a busy machine is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("mirage", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mirage")
