//! The ground floor: ids, clock, money, secrets, limits and the allocator that counts.
//!
//! Everything above may use it; it uses nothing of ours. It must not do I/O and must not know what a
//! workflow is.

pub mod clock;
pub mod fault_point;
pub mod guard;
pub mod ids;
pub mod key;
pub mod limits;
pub mod memory;
pub mod money;
pub mod network;
pub mod secret;
pub mod shutdown;
pub mod suggest;
pub mod text;
pub mod wake;
pub mod wall;
mod wide;
