"""``python3 -m tenant_retention.cli``: the command where no script is installed, as in the product's image."""

from tenant_retention.cli.engine import main

if __name__ == "__main__":
    main()
