//! Lagoon Bank, which nobody has heard of: a small bank behind a small door, as the guide to adding a provider describes it.
//! It keeps its books, and honours keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::money::{Currency, Money};
use bursar::simulator::control::Effect;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

pub(super) const API_KEY: &str = "lagoon-key";

#[derive(Debug, Default)]
struct Books {
    /// Number, name and cents.
    accounts: Vec<(&'static str, &'static str, i64)>,
    /// What was moved, as it is shown.
    transfers: Vec<Json>,
    /// Which transfer was made under a key.
    keys: BTreeMap<String, usize>,
    /// How often a transfer was asked for.
    asked: usize,
}

/// The bank. It listens for as long as the test lasts.
#[derive(Clone)]
pub(super) struct Lagoon {
    pub(super) url: String,
    books: Arc<Mutex<Books>>,
}

impl Lagoon {
    /// Opens its door, with these accounts: number, name, cents.
    pub(super) async fn open(accounts: &[(&'static str, &'static str, i64)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let lagoon = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            books: Arc::new(Mutex::new(Books {
                accounts: accounts.to_vec(),
                ..Books::default()
            })),
        };
        let bank = lagoon.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(bank.clone().serve(socket));
            }
        });
        lagoon
    }

    /// How often a transfer was asked for.
    pub(super) fn asked(&self) -> usize {
        self.books().asked
    }

    /// What is on an account, in cents.
    pub(super) fn cents(&self, number: &str) -> i64 {
        let books = self.books();
        let account = books.accounts.iter().find(|(known, ..)| *known == number);
        account.expect("an account").2
    }

    /// What was moved, as the judge of journals wants it.
    pub(super) fn effects(&self) -> Vec<Effect> {
        let effect = |shown: &Json| Effect {
            provider: "lagoon",
            kind: "transfer",
            id: shown["id"].as_str().expect("an id").parse().expect("an id"),
            status: "done",
            amount: Money::from_minor(shown["cents"].as_i64().expect("cents").into(), euro()).expect("an amount"),
            source_account_id: Uuid::nil(),
            destination: shown["to"].clone(),
            reference: shown["mark"].as_str().map(str::to_owned),
            metadata: BTreeMap::new(),
            idempotency_key: None,
            created_at: SystemClock::new().now(),
        };
        self.books().transfers.iter().map(effect).collect()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, mut socket: TcpStream) {
        let Some(asked) = Asked::read(&mut socket).await else {
            return;
        };
        let (status, body) = self.answer(&asked);
        let (date, body) = (SystemClock::new().now().to_rfc2822(), body.to_string());
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} So\r\ndate: {date}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        drop(socket.write_all(answer.as_bytes()).await);
        drop(socket.shutdown().await);
    }

    fn answer(&self, asked: &Asked) -> (u16, Json) {
        if asked.header("authorization") != Some(&format!("Bearer {API_KEY}")) {
            return (401, json!({ "error": "who_are_you", "text": "no such key" }));
        }
        let mut books = self.books();
        let shown = |(number, name, cents): &(&str, &str, i64)| json!({ "number": number, "name": name, "available": cents, "valued": cents / 2, "currency": "EUR", "state": "active" });
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/accounts") => {
                let accounts: Vec<Json> = books.accounts.iter().map(shown).collect();
                (200, json!({ "items": accounts }))
            }
            ("GET", "/transfers") => (200, json!({ "items": books.transfers })),
            ("POST", "/transfers") => books.transfer(asked),
            ("GET", path) => {
                let number = path.strip_prefix("/accounts/").unwrap_or_default();
                let account = books.accounts.iter().find(|(known, ..)| *known == number);
                let unknown = (404, json!({ "error": "not_here", "text": "no such account" }));
                account.map_or(unknown, |account| (200, shown(account)))
            }
            _ => (405, json!({ "error": "not_so", "text": "no such call" })),
        }
    }
}

impl Books {
    fn transfer(&mut self, asked: &Asked) -> (u16, Json) {
        self.asked += 1;
        let key = asked.header("idempotency-key").unwrap_or_default().to_owned();
        if let Some(known) = self.keys.get(&key) {
            return (200, self.transfers[*known].clone());
        }
        let body: Json = serde_json::from_str(&asked.body).unwrap_or_default();
        let cents = body["cents"].as_i64().unwrap_or_default();
        let mut find = |number: &Json, cents: i64| {
            let account = self.accounts.iter_mut().find(|(known, ..)| *number == **known);
            account
                .filter(|(.., there)| *there + cents >= 0)
                .map(|account| account.2 += cents)
        };
        if cents <= 0 || key.is_empty() || find(&body["from"], -cents).is_none() || find(&body["to"], cents).is_none() {
            return (400, json!({ "error": "cannot", "text": "that cannot be moved" }));
        }
        let mut shown = body;
        shown["id"] = json!(Uuid::from_u128(self.transfers.len() as u128 + 1));
        shown["state"] = json!("done");
        shown["made"] = json!(SystemClock::new().now().to_rfc3339());
        self.keys.insert(key, self.transfers.len());
        self.transfers.push(shown.clone());
        (201, shown)
    }
}

fn euro() -> Currency {
    Currency::from_code("EUR").expect("a currency")
}

/// A request.
struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    async fn read(socket: &mut TcpStream) -> Option<Self> {
        let (mut bytes, mut buffer) = (Vec::new(), [0u8; 4096]);
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let mut lines = head.lines();
                let mut first = lines.next()?.split(' ').map(str::to_owned);
                let headers = lines.filter_map(|line| line.split_once(": "));
                let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
                let asked = Self {
                    method: first.next()?,
                    path: first.next()?,
                    headers: headers.collect(),
                    body: body.to_owned(),
                };
                let length = asked.header("content-length").and_then(|length| length.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return Some(asked);
                }
            }
            match socket.read(&mut buffer).await {
                Ok(count) if count > 0 => bytes.extend_from_slice(buffer.get(..count)?),
                _ => return None,
            }
        }
    }
}
