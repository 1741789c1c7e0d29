"""Printers: a program as ASP, Prolog, Python and C."""
