"""The built-in tasks: one file per benchmark family, registered through the entry points that third parties use."""
