//! Schemes of signatures as tables say them: vectors, every bit that could be changed, and the ids of messages.
//!
//! Where a provider prints no vector, the signature here was made by `openssl dgst -hmac` or by Python's `hmac`.

use bursar::base::ids::EventId;
use bursar::base::secret::Secret;
use bursar::connector::event::{BadPayload, read_event};
use bursar::connector::signature::{Rejected, Scheme, message_id, sign, verify};
use bursar::connector::table::Connector;
use bursar::model::event::Delivery;
use chrono::TimeDelta;

use super::signature::BODY as AUGUSTUS_BODY;
use super::time;

const TIMESTAMP: &str = "1767225600";
const WHSEC: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const IVY_BODY: &str = concat!(
    r#"{"id":"wh_01HZX","type":"payout.paid","date":"2026-01-01T00:00:00.000Z","payload":{"id":"po_01HZX","#,
    r#""type":"beneficiary","destination":{"type":"iban","iban":{"accountHolderName":"Example GmbH","#,
    r#""iban":"DE89370400440532013000"}},"status":"paid","amount":100.5,"currency":"EUR","metadata":"#,
    r#"{"op_id":"op_0001"},"createdAt":"2025-12-31T23:59:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}}"#
);
const FLAT_BODY: &str = r#"{"event_type":"account.created","id":"acc_1","object":"account"}"#;

/// One signed delivery of some provider.
struct Vector {
    name: &'static str,
    scheme: &'static str,
    secret: &'static str,
    id: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        name: "Standard Webhooks, as Augustus sends it",
        scheme: "scheme = \"standard_webhooks\"",
        secret: WHSEC,
        id: "6f1d2c3b-4a59-4e68-9f70-8192a3b4c5d6",
        headers: &[
            ("webhook-id", "6f1d2c3b-4a59-4e68-9f70-8192a3b4c5d6"),
            ("webhook-timestamp", TIMESTAMP),
            ("webhook-signature", "v1,4ZGdax3WWFUcfDi2HSlgoZYvbKr7kcTZjobbJAmz67Y="),
        ],
        body: AUGUSTUS_BODY,
    },
    Vector {
        name: "the same under the headers of Svix (by Python)",
        scheme: "scheme = \"standard_webhooks\"\nheader_prefix = \"svix\"",
        secret: WHSEC,
        id: "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj",
        headers: &[
            ("svix-id", "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"),
            ("svix-timestamp", TIMESTAMP),
            ("svix-signature", "v1,KfIt/DOmNwsHVAPWBQeEYNsTYjg7z0VguopZkmaBagA="),
        ],
        body: FLAT_BODY,
    },
    Vector {
        name: "Ivy",
        scheme: "scheme = \"hmac_sha256\"\nheader = \"X-Ivy-Signature\"\nencoding = \"hex\"",
        secret: "ivy_whs_example_0123456789",
        id: "",
        headers: &[(
            "x-ivy-signature",
            "ac8ee474b7f7b588ac6127dbf5352fbfa80583ca737c901e074d788e14336c9b",
        )],
        body: IVY_BODY,
    },
    Vector {
        name: "a digest of the body behind a prefix: RFC 4231, test case 2",
        scheme: "scheme = \"hmac_sha256\"\nheader = \"X-Hub-Signature-256\"\nprefix = \"sha256=\"\nencoding = \"hex\"",
        secret: "Jefe",
        id: "",
        headers: &[(
            "x-hub-signature-256",
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        )],
        body: "what do ya want for nothing?",
    },
    Vector {
        name: "the same in capitals",
        scheme: "scheme = \"hmac_sha256\"\nheader = \"X-Signature\"\nencoding = \"hex_upper\"",
        secret: "Jefe",
        id: "",
        headers: &[(
            "x-signature",
            "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843",
        )],
        body: "what do ya want for nothing?",
    },
    Vector {
        name: "a digest of the body in base64 (by Python)",
        scheme: "scheme = \"hmac_sha256\"\nheader = \"X-Signature\"\nencoding = \"base64\"",
        secret: "whs_example_0123456789",
        id: "",
        headers: &[("x-signature", "EftJTtfZ3YTN/GR0IzdEdtBWTPm43DlxY3OdqoRp8VQ=")],
        body: FLAT_BODY,
    },
    Vector {
        name: "a digest of timestamp and body (by openssl)",
        scheme: TIMED,
        secret: "whs_example_0123456789",
        id: "",
        headers: &[("x-signature", TIMED_SIGNATURE), ("x-timestamp", TIMESTAMP)],
        body: FLAT_BODY,
    },
];

const TIMED: &str = "scheme = \"hmac_sha256\"\nheader = \"X-Signature\"\nprefix = \"v1=\"\nencoding = \"hex\"\n\
     signed = \"timestamp.body\"\ntimestamp_header = \"X-Timestamp\"\nseparator = \",\"";
const TIMED_SIGNATURE: &str = "v1=05937a9cc0f4be9b3a92c81cb8e55c435794cc195cbd96e7e68bec2579543a11";

/// A table of a provider that signs so; `id` is where its envelope has the id.
fn table(signature: &str, id: &str) -> Result<Connector, String> {
    let text = format!(
        "name = \"toy\"\ntitle = \"Toy\"\ndoc = \"A toy.\"\nbase_url = {{ live = \"https://api.example.com\" }}\n\
         auth = {{ scheme = \"bearer\" }}\n[endpoint.show]\ndoc = \"Shows.\"\nmethod = \"GET\"\npath = \"/show\"\n\
         effect = \"read\"\n[webhook]\nevent = []\n[webhook.signature]\n{signature}\n[webhook.envelope]\n\
         {id}\ntype = \"/event_type\"\npayload = \"/object\"\n"
    );
    Connector::parse("toy.toml", &text).map_err(|findings| {
        let told: Vec<String> = findings.into_iter().map(|finding| finding.message).collect();
        told.join("; ")
    })
}

fn scheme(signature: &str) -> Scheme {
    let table = table(signature, "id = \"/id\"").unwrap_or_else(|wrong| panic!("{signature}: {wrong}"));
    table.webhook().unwrap().signature.clone()
}

impl Vector {
    fn delivery(&self) -> Delivery {
        let headers = self.headers.iter();
        Delivery {
            connection: "toy".to_owned(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: self.body.as_bytes().to_vec().into(),
            sender: std::net::Ipv4Addr::LOCALHOST.into(),
            received_at: time("2026-01-01T00:00:00Z"),
        }
    }

    fn secret(&self) -> Secret {
        Secret::new(self.secret.to_owned())
    }
}

#[test]
fn every_vector_is_made_and_taken() {
    for vector in VECTORS {
        let scheme = scheme(vector.scheme);
        let made = sign(
            &scheme,
            &vector.secret(),
            vector.id,
            1_767_225_600,
            vector.body.as_bytes(),
        )
        .unwrap();
        assert_eq!(made, vector.delivery().headers, "{}", vector.name);
        let now = time("2026-01-01T00:00:00Z");
        assert_eq!(
            verify(&scheme, &[vector.secret()], &vector.delivery(), now),
            Ok(()),
            "{}",
            vector.name
        );
    }
}

#[test]
fn no_bit_of_a_delivery_can_be_changed() {
    let now = time("2026-01-01T00:00:00Z");
    let mut tried = 0;
    for vector in VECTORS {
        let (scheme, secret) = (scheme(vector.scheme), vector.secret());
        let mut refused = |delivery: Delivery, place: &str, bit: usize| {
            tried += 1;
            let verdict = verify(&scheme, [&secret], &delivery, now);
            assert!(
                verdict.is_err(),
                "{}: bit {bit} of {place} does not matter",
                vector.name
            );
        };
        for bit in 0..vector.body.len() * 8 {
            let mut delivery = vector.delivery();
            delivery.body = flipped(vector.body.as_bytes(), bit).into();
            refused(delivery, "the body", bit);
        }
        for (index, (name, value)) in vector.headers.iter().enumerate() {
            for bit in 0..value.len() * 8 {
                let mut delivery = vector.delivery();
                // As the door reads header values.
                delivery.headers[index].1 = String::from_utf8_lossy(&flipped(value.as_bytes(), bit)).into_owned();
                refused(delivery, name, bit);
            }
        }
        for index in 0..vector.headers.len() {
            let mut delivery = vector.delivery();
            delivery.headers.remove(index);
            assert_eq!(
                verify(&scheme, [&secret], &delivery, now),
                Err(Rejected::Missing),
                "{}",
                vector.name
            );
        }
    }
    assert!(tried > 10_000, "{tried}");
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn a_delivery_is_as_fresh_as_its_table_says_wherever_there_is_a_timestamp() {
    let check = |vector: &Vector, more: &str, late_secs: i64, expected: Result<(), Rejected>| {
        let now = time("2026-01-01T00:00:00Z") + TimeDelta::seconds(late_secs);
        let scheme = scheme(&format!("{}\n{more}", vector.scheme));
        let verdict = verify(&scheme, &[vector.secret()], &vector.delivery(), now);
        assert_eq!(verdict, expected, "{} {more} {late_secs} s late", vector.name);
    };
    let timed = |vector: &&Vector| vector.headers.iter().any(|(name, _)| name.ends_with("timestamp"));
    for vector in VECTORS.iter().filter(timed) {
        for sign in [1, -1] {
            check(vector, "", sign * 300, Ok(()));
            check(vector, "", sign * 301, Err(Rejected::Stale));
            check(vector, "tolerance_secs = 10", sign * 10, Ok(()));
            check(vector, "tolerance_secs = 10", sign * 11, Err(Rejected::Stale));
        }
    }
    for vector in VECTORS.iter().filter(|vector| !timed(vector)) {
        check(vector, "", 1_000_000, Ok(()));
    }
}

#[test]
fn one_right_signature_among_several_is_enough() {
    let good = TIMED_SIGNATURE;
    let wrong = "v1=0000000000000000000000000000000000000000000000000000000000000000";
    let secret = Secret::new("whs_example_0123456789".to_owned());
    let check = |value: &str, expected: Result<(), Rejected>| {
        let mut delivery = VECTORS.last().unwrap().delivery();
        value.clone_into(&mut delivery.headers[0].1);
        let verdict = verify(&scheme(TIMED), [&secret], &delivery, time("2026-01-01T00:00:00Z"));
        assert_eq!(verdict, expected, "{value}");
    };
    check(&format!("{wrong},{good}"), Ok(()));
    check(&format!("{good}, {wrong}"), Ok(()));
    check(&format!("v2=abc,{good}"), Ok(()));
    check(&format!("{wrong},{wrong}"), Err(Rejected::Mismatch));
    check("v2=abc", Err(Rejected::Malformed));
    check("", Err(Rejected::Malformed));
    check(&good.to_uppercase(), Err(Rejected::Malformed));
    check(&good.replace('a', "A"), Err(Rejected::Mismatch));
}

#[test]
fn a_scheme_that_contradicts_itself_is_told() {
    let hmac = "scheme = \"hmac_sha256\"\nheader = \"X-Signature\"\nencoding = \"hex\"\n";
    let check = |more: &str, expected: &str| {
        let told = table(&format!("{hmac}{more}"), "id = \"/id\"")
            .err()
            .unwrap_or_default();
        assert!(told.contains(expected), "{more}: {told}");
    };
    check(
        "signed = \"timestamp.body\"",
        "no `timestamp_header` names the timestamp",
    );
    check(
        "timestamp_header = \"X-Timestamp\"",
        "a timestamp that is not signed proves nothing",
    );
    check("tolerance_secs = 5", "of no use without a `timestamp_header`");
    check("separator = \"\"", "`separator` is empty");
    check("tolerence_secs = 5", "tolerence_secs");
    check("signed = \"url\"", "url");
    let told = table("scheme = \"standard_webhooks\"\nheader = \"x\"", "")
        .err()
        .unwrap_or_default();
    assert!(told.contains("header"), "{told}");
}

#[test]
fn an_event_without_an_id_of_its_own_is_known_by_its_message_else_by_its_bytes() {
    let id_of = |vector: &Vector, connection: &str, body: &str| {
        let table = table(vector.scheme, "").unwrap();
        let mut delivery = vector.delivery();
        connection.clone_into(&mut delivery.connection);
        delivery.body = body.to_owned().into();
        let event = read_event(&table, &delivery, EventId::generate(time("2026-01-01T00:00:00Z")));
        event.map(|event| event.provider_id)
    };
    let svix = &VECTORS[1];
    assert_eq!(
        id_of(svix, "toy", FLAT_BODY).as_deref(),
        Ok(svix.id),
        "the signed id of the message"
    );
    let mut nameless = svix.delivery();
    nameless.headers[0].1.clear();
    assert_eq!(message_id(&scheme(svix.scheme), &nameless), None);

    let plain = &VECTORS[5];
    let digest = "sha256:bf40f63d613b2acbb1f1a0f6f0cb6b93bacbc609f6c2f058974602e53ddfb458";
    assert_eq!(
        id_of(plain, "bank", FLAT_BODY).as_deref(),
        Ok(digest),
        "Python's hashlib says the same"
    );
    let others = [
        id_of(plain, "bank2", FLAT_BODY),
        id_of(plain, "bank", &format!("{FLAT_BODY} ")),
    ];
    assert!(others.iter().all(|other| other.as_deref() != Ok(digest)), "{others:?}");
    // Where the table says where the id stands, it has to stand there.
    let strict = table(plain.scheme, "id = \"/nowhere\"").unwrap();
    let event = read_event(
        &strict,
        &plain.delivery(),
        EventId::generate(time("2026-01-01T00:00:00Z")),
    );
    assert_eq!(event.map(drop), Err(BadPayload::Missing("/nowhere".to_owned())));
}
