"""What the nox sessions are made of: the tree of packages, the machine, the scaffold of a new package."""
