"""What results can do: say in a line what they are, and become data frames, CSV, LaTeX and Markdown."""
