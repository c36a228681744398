"""Parts of several verbs: options, URLs, progress, opening benchmarks and runs, and error exits."""
