"""Graders: what turns a completion into a verdict. Importing them loads no mathematics library."""
