//! How events are signed: Svix's version 1, an HMAC-SHA256 over id, time and body, under the bytes that the
//! secret says in base64.
//!
//! Written out here, from the definitions of HMAC and base64, so that no mistake is shared with whoever verifies.

use sha2::{Digest as _, Sha256};

use crate::base::secret::Secret;

/// The bytes SHA-256 works through at a time.
const BLOCK: usize = 64;

const PREFIX: &str = "whsec_";

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The three headers; the id is the same each time a message is sent.
pub(crate) fn sign(secret: &Secret, id: &str, at: i64, body: &[u8]) -> Option<Vec<(String, String)>> {
    let id = format!("msg_{}", id.replace('-', ""));
    let signature = signature(secret.expose(), &id, at, body)?;
    Some(vec![
        ("svix-id".to_owned(), id),
        ("svix-timestamp".to_owned(), at.to_string()),
        ("svix-signature".to_owned(), format!("v1,{signature}")),
    ])
}

/// Whether deliveries can be signed with this secret.
pub(crate) fn check_secret(secret: &str) -> Result<(), String> {
    match key_of(secret) {
        Some(key) if !key.is_empty() => Ok(()),
        _ => Err("the signing secret is whsec_ and base64".to_owned()),
    }
}

fn signature(secret: &str, id: &str, at: i64, body: &[u8]) -> Option<String> {
    let message = [format!("{id}.{at}.").as_bytes(), body].concat();
    Some(encode(&hmac(&key_of(secret)?, &message)))
}

fn key_of(secret: &str) -> Option<Vec<u8>> {
    decode(secret.strip_prefix(PREFIX)?)
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

/// Three bytes as four letters, the last ones filled up.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or_default();
            let letter = LETTERS.get(index).filter(|_| place <= chunk.len());
            text.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

/// Four letters as three bytes; none where something is no letter or the length is wrong.
fn decode(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=');
    let filled = text.len().checked_sub(letters.len())?;
    if !text.len().is_multiple_of(4) || filled > 2 {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0u32, 0);
    for letter in letters.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        held = held << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_comes_out() {
        let body = br#"{"test": 2432232314}"#;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.unwrap(), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn base64_is_read_and_written_as_its_standard_says() {
        // RFC 4648, section 10.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
        }
        for bad in ["Zg", "Zg=", "Z===", "Zm9-", "Zm 9"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_one_that_can_be_used() {
        assert_eq!(check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Ok(()));
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_x"] {
            assert!(check_secret(bad).is_err(), "{bad}");
        }
    }
}
