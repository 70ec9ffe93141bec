"""`python -m webapp`: the same as the command `hearth`."""

from webapp.program.command import main

if __name__ == "__main__":
    raise SystemExit(main())
