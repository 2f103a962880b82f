"""observe -> plan -> apply -> status: the only place that decides order. One level-triggered reconcile per kind of object."""
