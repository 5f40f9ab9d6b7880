//! Secrets: text that cannot be printed, logged or serialised by accident.
//!
//! Reading a secret from its file or variable is I/O and happens in `app::settings`; this file only
//! holds the type.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// A credential. `Debug` and `Display` show a placeholder; the memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The credential itself: only for a request header or a signature.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
