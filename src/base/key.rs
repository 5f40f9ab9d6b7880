//! Keys derived from a secret: the same parts always give the same key, and nobody can guess one.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// A UUID-shaped HMAC-SHA256 of the parts, each preceded by its length. It carries version 8 of RFC 9562
/// ("custom"), so that nobody takes it for random or for time-ordered.
pub fn derived_uuid(secret: &[u8; 32], parts: &[&str]) -> Uuid {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    let digest = mac.finalize().into_bytes();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_key_and_no_others_do() {
        let key = |parts: &[&str]| derived_uuid(&[7; 32], parts);
        assert_eq!(key(&["run", "1", "0"]), key(&["run", "1", "0"]));
        assert_ne!(key(&["run", "1", "0"]), key(&["run", "1", "1"]));
        assert_ne!(key(&["run", "11"]), key(&["run1", "1"]));
        assert_ne!(key(&["run"]), derived_uuid(&[8; 32], &["run"]));
        assert_eq!(key(&["run"]).to_string().len(), 36);
    }
}
