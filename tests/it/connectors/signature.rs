//! Signatures: the published vector, everything that must fail, and agreement with the reference library.
//!
//! `BURSAR_SEED` replays the random deliveries.

use bursar::base::secret::Secret;
use bursar::connector::signature::{Rejected, Scheme, check_secret, sign, verify};
use bursar::model::event::Delivery;
use chrono::TimeDelta;

use super::{bank, time};
use crate::support::{number, report};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "whsec_/////////////////////////////////////////w==";
const ID: &str = "6f1d2c3b-4a59-4e68-9f70-8192a3b4c5d6";
const TIMESTAMP: i64 = 1_767_225_600;
const SIGNATURE: &str = "v1,4ZGdax3WWFUcfDi2HSlgoZYvbKr7kcTZjobbJAmz67Y=";
pub(super) const BODY: &str = concat!(
    r#"{"id":"6f1d2c3b-4a59-4e68-9f70-8192a3b4c5d6","type":"payout.paid","api_version":"2026-05-01","#,
    r#""payload":{"id":"0b9e3c1a-7d24-4f58-8a6b-1c2d3e4f5a6b","type":"payout","status":"paid","#,
    r#""source_account_id":"11111111-2222-4333-8444-555555555555","amount":"100.50","currency":"EUR","#,
    r#""destination":{"type":"iban","iban":"DE89370400440532013000","account_holder_name":"Example GmbH","bic":null},"#,
    r#""reference":"INV-1001","failure":null,"metadata":{"op_id":"op_0001"},"#,
    r#""created_at":"2025-12-31T23:59:00Z","updated_at":"2026-01-01T00:00:00Z"},"date":"2026-01-01T00:00:00Z"}"#
);

fn scheme() -> Scheme {
    bank().connector.webhook().unwrap().signature.clone()
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new((*text).to_owned())).collect()
}

fn delivery(headers: &[(&str, &str)], body: &str) -> Delivery {
    Delivery {
        connection: "bank".to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.to_owned().into(),
        sender: std::net::Ipv4Addr::LOCALHOST.into(),
        received_at: time("2026-01-01T00:00:00Z"),
    }
}

fn signed(timestamp: &str, signature: &str, body: &str) -> Delivery {
    let headers = [
        ("webhook-id", ID),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signature),
    ];
    delivery(&headers, body)
}

fn check(delivery: &Delivery, secret_texts: &[&str], late_secs: i64) -> Result<(), Rejected> {
    let now = time("2026-01-01T00:00:00Z") + TimeDelta::seconds(late_secs);
    verify(&scheme(), &secrets(secret_texts), delivery, now)
}

#[test]
fn the_published_vector_is_made_and_taken() {
    assert_eq!(BODY.len(), 556);
    let headers = sign(&scheme(), &secrets(&[SECRET])[0], ID, TIMESTAMP, BODY.as_bytes()).unwrap();
    let expected = [
        ("webhook-id", ID),
        ("webhook-timestamp", "1767225600"),
        ("webhook-signature", SIGNATURE),
    ];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(check(&signed("1767225600", SIGNATURE, BODY), &[SECRET], 0), Ok(()));
}

/// What is changed of the good delivery, and what then has to come of it.
struct Case<'a> {
    name: &'static str,
    timestamp: &'static str,
    signature: &'a str,
    body: &'a str,
    secrets: &'static [&'static str],
    late_secs: i64,
    expected: Result<(), Rejected>,
}

const GOOD: Case<'static> = Case {
    name: "as it was sent",
    timestamp: "1767225600",
    signature: SIGNATURE,
    body: BODY,
    secrets: &[SECRET],
    late_secs: 0,
    expected: Ok(()),
};

#[rustfmt::skip]
#[test]
fn what_is_not_exactly_what_was_signed_is_refused() {
    let mismatch = Err(Rejected::Mismatch);
    let no_secret = Err(Rejected::NoSecret);
    let stale = Err(Rejected::Stale);
    let (longer, dearer) = (format!("{BODY} "), BODY.replace("100.50", "100.51"));
    let wrong_first = format!("v1,AAAA {SIGNATURE}");
    let (second_version, no_version) = (SIGNATURE.replace("v1,", "v2,"), SIGNATURE.replace("v1,", ""));
    let cases = [
        GOOD,
        Case { name: "a space more", body: &longer, expected: mismatch, ..GOOD },
        Case { name: "a cent more", body: &dearer, expected: mismatch, ..GOOD },
        Case { name: "another time", timestamp: "1767225601", expected: mismatch, ..GOOD },
        Case { name: "another secret", secrets: &[OTHER], expected: mismatch, ..GOOD },
        Case { name: "an old secret first", secrets: &[OTHER, SECRET], ..GOOD },
        Case { name: "an old secret last", secrets: &[SECRET, OTHER], ..GOOD },
        Case { name: "an unusable secret beside", secrets: &["whsec_%", SECRET], ..GOOD },
        Case { name: "only an unusable secret", secrets: &["whsec_%"], expected: no_secret, ..GOOD },
        Case { name: "an empty secret", secrets: &["whsec_"], expected: no_secret, ..GOOD },
        Case { name: "no secret", secrets: &[], expected: no_secret, ..GOOD },
        Case { name: "a wrong signature first", signature: &wrong_first, ..GOOD },
        Case { name: "another version", signature: &second_version, expected: mismatch, ..GOOD },
        Case { name: "no version", signature: &no_version, expected: mismatch, ..GOOD },
        Case { name: "a signature cut short", signature: "v1,4ZGdaw==", expected: mismatch, ..GOOD },
        Case { name: "an empty signature", signature: "", expected: mismatch, ..GOOD },
        Case { name: "no number", timestamp: "now", expected: Err(Rejected::Malformed), ..GOOD },
        Case { name: "the end of time", timestamp: "-9223372036854775808", expected: stale, ..GOOD },
        Case { name: "299 s late", late_secs: 299, ..GOOD },
        Case { name: "300 s late", late_secs: 300, ..GOOD },
        Case { name: "301 s late", late_secs: 301, expected: stale, ..GOOD },
        Case { name: "300 s early", late_secs: -300, ..GOOD },
        Case { name: "301 s early", late_secs: -301, expected: stale, ..GOOD },
    ];
    for case in cases {
        let delivery = signed(case.timestamp, case.signature, case.body);
        assert_eq!(check(&delivery, case.secrets, case.late_secs), case.expected, "{}", case.name);
    }
    assert_eq!(check(&delivery(&[], BODY), &[SECRET], 0), Err(Rejected::Missing), "no headers");
}

#[test]
fn the_reference_library_agrees_on_random_deliveries() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let reference = standardwebhooks::Webhook::new(SECRET).unwrap();
    for _ in 0..200 {
        let id: String = (0..random.usize(1..40)).map(|_| random.alphanumeric()).collect();
        let body: String = (0..random.usize(0..400))
            .map(|_| random.char(' '..'\u{ffff}'))
            .collect();
        let headers = sign(&scheme(), &secrets(&[SECRET])[0], &id, TIMESTAMP, body.as_bytes()).unwrap();
        assert_eq!(
            headers[2].1,
            reference.sign(&id, TIMESTAMP, body.as_bytes()).unwrap(),
            "BURSAR_SEED={seed:#x}"
        );
    }
    report(&format!(
        "200 random deliveries signed as the reference library signs them (BURSAR_SEED={seed:#x})"
    ));
}

#[test]
fn a_secret_a_scheme_cannot_use_is_told() {
    let check = |secret: &str, expected: bool| {
        assert_eq!(
            check_secret(&scheme(), &secrets(&[secret])[0]).is_ok(),
            expected,
            "{secret}"
        );
    };
    check(SECRET, true);
    check("whsec_%", false);
    check("whsec_", false);
}
