"""What leaves the machine that learned: bundles, exports, benchmarks."""
