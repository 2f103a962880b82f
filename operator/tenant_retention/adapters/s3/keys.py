"""Object keys that cannot be sent as they are."""

from __future__ import annotations

import re

# XML cannot carry these; a carriage return would arrive as a line feed and name another key.
NOT_IN_XML = re.compile("[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
# A path with dots is rewritten on its way and would name another key.
DOT_SEGMENT = re.compile(r"(^|/)\.{1,2}(/|$)")
