"""`firstshot dcase ...`: the commands of the challenge."""
