//! Effects at providers that keep to other keys, or to none: once all the same.

mod first;
mod keys;
mod toy;
