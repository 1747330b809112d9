"""Networks trained on normal sound alone, to tell machines, domains and attributes apart.

A trained network is an encoder: its file is used wherever an encoder is named. One module per step:
`classes` (what a clip is taken for), `augmentation` and `batches` (windows of clips, mixed),
`losses`, `training` (with checkpoints, so that a killed training continues), `seeds` (several
trainings, and their files). `settings` and `clips` are what they start from.
"""
