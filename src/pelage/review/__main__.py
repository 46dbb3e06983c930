"""`python -m pelage.review`: the same as `pelage review`."""

import sys

from pelage.command import main

main(["review", *sys.argv[1:]])
