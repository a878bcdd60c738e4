"""`python -m fxnas`: the command where its script isn't on the path."""

from fxnas.cli import main

main()
