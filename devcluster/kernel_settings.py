"""The machine's kernel settings that a kubelet changes: remembered before, restored after."""

import json
from pathlib import Path

from devcluster.layout import Layout

_CHANGED_BY_THE_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_ROOT = Path("/proc/sys")


def remember(layout: Layout) -> None:
    """Write down the present values. Values of an earlier start that was never taken down are kept: those are true."""
    if layout.kernel_settings.exists():
        return
    values = {name: (_ROOT / name).read_text().strip() for name in _CHANGED_BY_THE_KUBELET if (_ROOT / name).exists()}
    temporary = layout.kernel_settings.with_suffix(".new")
    temporary.write_text(json.dumps(values, indent=2) + "\n")
    temporary.rename(layout.kernel_settings)


def restore(layout: Layout) -> None:
    """Set the remembered values again, if there are any, and forget them."""
    if not layout.kernel_settings.exists():
        return
    for name, value in json.loads(layout.kernel_settings.read_text()).items():
        path = _ROOT / name
        if path.read_text().strip() != value:
            path.write_text(value)
    layout.kernel_settings.unlink()
