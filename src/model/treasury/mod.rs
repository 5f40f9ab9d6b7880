//! Treasury arithmetic: how much to sweep, how to split, whether a rate is acceptable.
//!
//! Pure functions from typed inputs to a decision with a reason, also for moving nothing. They must not
//! call a provider, read a balance or know a script.
