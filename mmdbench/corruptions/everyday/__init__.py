"""The set `everyday`: sixteen degradations that products meet, with their numbers in `everyday_spec.yaml`.

A member is a stanza there and a function of its name, with `@corruption`, in the module of its category.
"""
