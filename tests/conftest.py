"""What all tests share: the folder itself on the path, so that `import servers` and the like work."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
