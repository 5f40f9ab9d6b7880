//! How events are signed: the lower-case hex of an HMAC-SHA256 of the body under the secret as it is written.
//!
//! Written out here, from the definition of HMAC, so that no mistake is shared with whoever verifies.

use sha2::{Digest as _, Sha256};

use crate::base::secret::Secret;

/// The bytes SHA-256 works through at a time.
const BLOCK: usize = 64;

/// One header. There is no time and no id in it.
pub(crate) fn sign(secret: &Secret, _id: &str, _at: i64, body: &[u8]) -> Option<Vec<(String, String)>> {
    let digest = hmac(secret.expose().as_bytes(), body);
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(vec![("X-Ivy-Signature".to_owned(), hex)])
}

/// Whether deliveries can be signed with this secret: it is any text.
pub(crate) fn check_secret(secret: &str) -> Result<(), String> {
    if secret.is_empty() {
        return Err("the signing secret is empty".to_owned());
    }
    Ok(())
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let hashed = (key.len() > BLOCK).then(|| Sha256::digest(key));
    let key = hashed.as_ref().map_or(key, |hashed| hashed.as_slice());
    let padded = |pad: u8| -> Vec<u8> {
        let filled = key.iter().copied().chain(std::iter::repeat(0));
        filled.take(BLOCK).map(|byte| byte ^ pad).collect()
    };
    let inner = Sha256::new_with_prefix(padded(0x36)).chain_update(message).finalize();
    let outer = Sha256::new_with_prefix(padded(0x5c)).chain_update(inner).finalize();
    outer.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(secret: &str, body: &str) -> String {
        let secret = Secret::new(secret.to_owned());
        sign(&secret, "", 0, body.as_bytes()).unwrap().remove(0).1
    }

    #[test]
    fn the_worked_example_of_the_reference_comes_out() {
        let body = concat!(
            r#"{"id":"wh_01HZX","type":"payout.paid","date":"2026-01-01T00:00:00.000Z","payload":{"id":"po_01HZX","#,
            r#""type":"beneficiary","destination":{"type":"iban","iban":{"accountHolderName":"Example GmbH","#,
            r#""iban":"DE89370400440532013000"}},"status":"paid","amount":100.5,"currency":"EUR","#,
            r#""metadata":{"op_id":"op_0001"},"createdAt":"2025-12-31T23:59:00.000Z","#,
            r#""updatedAt":"2026-01-01T00:00:00.000Z"}}"#
        );
        assert_eq!(body.len(), 384);
        let expected = "ac8ee474b7f7b588ac6127dbf5352fbfa80583ca737c901e074d788e14336c9b";
        assert_eq!(signed("ivy_whs_example_0123456789", body), expected);
    }

    #[test]
    fn a_key_longer_than_a_block_is_hashed_first() {
        // RFC 4231, test case 6.
        let key = [0xaa; 131];
        let digest = hmac(&key, b"Test Using Larger Than Block-Size Key - Hash Key First");
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
