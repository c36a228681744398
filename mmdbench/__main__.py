"""`python -m mmdbench` is the command line."""

from mmdbench.cli import main

main()
