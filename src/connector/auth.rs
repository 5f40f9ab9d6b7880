//! Authorisation: the credential as a header, made at the last moment and never stored.

use super::table::Auth;
use crate::base::secret::Secret;

/// The header that authorises a call: its name, and its value, which is a secret too.
pub(super) fn header(auth: &Auth, credential: &Secret) -> (String, Secret) {
    match auth {
        Auth::Bearer => (
            "authorization".to_owned(),
            Secret::new(format!("Bearer {}", credential.expose())),
        ),
        Auth::Header { name } => (name.to_lowercase(), credential.clone()),
    }
}
