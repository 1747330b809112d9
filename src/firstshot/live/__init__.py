"""A machine listened to day and night: windows of a stream, the alarm rule, states and events."""
