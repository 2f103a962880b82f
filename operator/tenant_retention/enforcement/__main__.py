"""``python -m tenant_retention.enforcement --plan plan.json``."""

import sys

from tenant_retention.enforcement.program import main

sys.exit(main())
