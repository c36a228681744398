"""An example of a corruption for mmdbench in a package of its own."""
