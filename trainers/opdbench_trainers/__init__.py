"""The built-in methods: one file each, registered through the entry points that third parties use."""
