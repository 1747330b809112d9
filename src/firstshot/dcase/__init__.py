"""The challenge: its data, its systems, its runs, its submission files and its evaluation."""
