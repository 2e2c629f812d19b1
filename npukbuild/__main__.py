"""``python -m npukbuild``."""

from npukbuild.cli import main

main()
