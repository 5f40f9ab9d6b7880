//! Every fault of a provider at every operation that changes something there, and what keeps a provider in trouble
//! from being asked for more.

use bursar::app::selftest::faults::faults;

use crate::support::report;

/// Faults that are met at the same time: each waits more than it computes.
const AT_ONCE: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_operation_ends_as_it_has_to() {
    let matrix = faults(AT_ONCE, &mut |_| {}).await.expect("it can be done");
    report(&matrix.to_string());
    let wrong: Vec<String> = matrix
        .wrong()
        .map(|cell| {
            let why = cell.wrong.as_deref().unwrap_or_default();
            format!("{} at {}, {:?}: {why}", cell.fault, cell.operation, cell.circumstances)
        })
        .collect();
    assert!(matrix.is_right(), "{}", wrong.join("\n"));
}
