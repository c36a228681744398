"""Tables to text: the terminal, Markdown, LaTeX, CSV and JSON, and figures."""
