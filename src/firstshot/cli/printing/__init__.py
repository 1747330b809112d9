"""What commands print: tables, progress, notes, and how the streams end."""
