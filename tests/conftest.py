"""What all tests share: the folder itself on the path, so that `import servers` and the like work."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# No test asserts a time, Hypothesis' own included: a busy machine is no fault.
settings.register_profile("texbridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("texbridge")

sys.path.insert(0, str(Path(__file__).parent))
