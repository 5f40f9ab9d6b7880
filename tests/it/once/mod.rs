//! Effects at providers that keep to other keys, or to none: once all the same.

mod exclusive;
mod first;
mod keys;
mod toy;
