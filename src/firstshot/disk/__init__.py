"""Files and folders: found, read with checks, written whole or not at all, locked, kept."""
