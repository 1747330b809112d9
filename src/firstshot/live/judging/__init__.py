"""What the windows of a machine mean: the alarm rule, its threshold, and the machine's state."""
