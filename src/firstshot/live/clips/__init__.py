"""Recordings of events: before, during and after, within a limit of bytes and days."""
