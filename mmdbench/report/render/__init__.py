"""Renderings of tables: terminal, Markdown, LaTeX, CSV, JSON, Parquet and figures."""
