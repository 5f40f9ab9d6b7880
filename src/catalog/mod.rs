//! The catalog: workflows as files, loaded, checked as a whole, watched while they change.
//!
//! A manifest names a workflow and what starts it; scripts say what it does. A bad file never stops a good
//! one: what loads is used, what does not keeps its last good version, and every problem is told with its
//! place. This room must not know runs, write the store or decide what a schedule means.

mod business;
mod concurrency;
mod fields;
pub mod files;
pub mod judge;
pub mod load;
pub mod manifest;
mod params;
mod slots;
pub mod snapshot;
pub mod watch;
mod when;
