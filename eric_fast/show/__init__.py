"""What people look at: tables of the terminal, plots, and the report's page."""
