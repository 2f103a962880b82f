"""What holds for every test: whether it passes is decided by the code, neither by chance nor by how busy the machine is."""

from hypothesis import HealthCheck, settings

# As Hypothesis itself does where it knows a CI: the same examples in every run, and no example has to be quick.
settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")
