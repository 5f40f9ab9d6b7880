//! What is known to end otherwise than it has to. It is counted and told wherever the matrix is, and the matrix is wrong
//! when one of these ends as it has to: then it has to go from here.

use super::Circumstances;
use super::expected::{Ending, is_error_after_effect};
use super::facts::Operation;
use super::kinds::Fault;

/// Why.
const FREED: &str = "an error left the key free although the call had its effect, and the process died before it could write \
                     down that there was an error: the next one trusts the key and sends again";

/// How often what errors leave free is then done: the bank does it again, or has nothing left to do it with. Others it
/// refuses, and they are looked up.
const FREED_AND_DONE: [(&str, &str, u64); 5] = [
    ("ivy", "execute_fx", 2),
    ("ivy", "create_refund", 2),
    ("ivy", "create_payout", 2),
    ("ivy", "payout_available_balances", 1),
    ("payments", "create_refund", 2),
];

/// How it is known to end instead, and why.
pub(super) fn known(
    fault: &Fault,
    operation: &Operation,
    circumstances: Circumstances,
) -> Option<((Ending, u64), &'static str)> {
    let is_freed = circumstances.dies && circumstances.key_holds && is_error_after_effect(fault, operation);
    let mut known = FREED_AND_DONE.iter().filter(|_| is_freed);
    let (_, _, times) = known.find(|(provider, name, _)| (operation.provider, operation.name) == (*provider, *name))?;
    Some(((Ending::Done, *times), FREED))
}
