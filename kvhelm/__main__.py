"""`python -m kvhelm` is `kvhelm`."""

from kvhelm.cli import main

main()
