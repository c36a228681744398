"""An example of a model for mmdbench in a package of its own."""
