"""``python3 -m tenant_retention.cli.plugin``: the plugin where no script is installed."""

from tenant_retention.cli.plugin.program import main

if __name__ == "__main__":
    main()
