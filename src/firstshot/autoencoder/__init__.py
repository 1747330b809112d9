"""The challenge's autoencoder baseline: trained on a machine's normal clips, scored by its errors.

One module per step: `features` (a waveform becomes stacked log-mel vectors), `network`, `training`
(with `checkpoint`, so that an interrupted training can continue), `trials` (several seeds at once)
and `scores` (residuals become MSE or Mahalanobis scores, batch scores the released threshold). The
package imports no torch; `training`, `network` and `trials` do.

Source: the published code of the DCASE 2023 to 2026 Task 2 baseline (Harada et al., "First-shot
anomaly detection for machine condition monitoring: a domain generalization baseline", 2023).
"""
