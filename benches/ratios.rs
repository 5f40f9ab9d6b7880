//! Benchmarks, printed as ratios to the machine's own limits.

fn main() {}
