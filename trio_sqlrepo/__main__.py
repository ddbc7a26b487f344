"""`python -m trio_sqlrepo`: the command line."""

import sys

from trio_sqlrepo.cli import main

if __name__ == "__main__":
    sys.exit(main())
