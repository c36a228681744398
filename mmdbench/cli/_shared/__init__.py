"""What several verbs share: options, progress, opening benchmarks and runs, and the exit of an error."""
