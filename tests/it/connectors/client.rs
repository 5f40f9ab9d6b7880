//! The network's edge: what is sent, and whether a call without an answer may have arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bursar::base::ids::RunId;
use bursar::connector::client::{Client, SendError};
use bursar::connector::registry::EMBEDDED;
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::connector::{connection::Connection, reply::RawAnswer};
use bursar::model::journal::{Intent, StepPath};
use bursar::model::policy::{Clearance, Decision, Question, decide};
use bursar::model::value::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{ACCOUNT, bank_at, endpoint, payout_args, time};

/// A server that answers every connection with these bytes and then closes it. Gives out what it was sent.
async fn serve(answer: Vec<u8>) -> (Connection, mpsc::UnboundedReceiver<String>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = Vec::new();
            let mut buffer = [0u8; 4096];
            while !is_whole(&request) {
                let read = socket.read(&mut buffer).await.unwrap_or(0);
                if read == 0 {
                    break;
                }
                request.extend_from_slice(&buffer[..read]);
            }
            // A client that went away, or a test that does not listen, is no matter of the server's.
            drop(told.send(String::from_utf8_lossy(&request).into_owned()));
            drop(socket.write_all(&answer).await);
            drop(socket.shutdown().await);
        }
    });
    (bank_at(&format!("http://{address}")), heard, connections)
}

/// Whether this is a whole request, or the beginning of a handshake, which this server answers in plain.
fn is_whole(request: &[u8]) -> bool {
    if request.first() == Some(&0x16) {
        return true;
    }
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    body.len() >= length
}

async fn read_account(connection: &Connection) -> Result<RawAnswer, SendError> {
    let retrieve = endpoint(connection, "retrieve_account");
    let args = Map::from([("id".to_owned(), Value::text(ACCOUNT))]);
    let prepared = prepare(connection, retrieve, &args, None).unwrap();
    let client = Client::new().unwrap();
    client.send(connection, retrieve, &prepared.request, None).await
}

fn intent(connection: &Connection) -> Intent {
    let create = endpoint(connection, "create_payout");
    let prepared = prepare(connection, create, &payout_args(), Some("r")).unwrap();
    Intent {
        connection: connection.name.clone(),
        endpoint: create.name.clone(),
        epoch: 0,
        key: Some("0b9e3c1a-key".to_owned()),
        key_safe_until: None,
        reference: "r".to_owned(),
        fingerprint: prepared.fingerprint,
        request: prepared.request,
        movement: prepared.movement,
        forgotten: None,
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    }
}

fn clearance(intent: &Intent, run: RunId, path: &StepPath) -> Clearance {
    let question = Question {
        run,
        path,
        connection: &intent.connection,
        uses: std::slice::from_ref(&intent.connection),
        fingerprint: intent.fingerprint,
        movement: intent.movement.as_ref().unwrap(),
    };
    match decide(&question) {
        Decision::Allowed(clearance) => clearance,
        Decision::Denied(reason) => panic!("{reason}"),
    }
}

#[tokio::test]
async fn a_payment_goes_out_with_its_exact_bytes_its_key_and_the_credential() {
    let (connection, mut heard, _) =
        serve(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Thing: a\r\n\r\n{}".to_vec()).await;
    let intent = intent(&connection);
    let run = RunId::generate(time("2026-05-01T00:00:00Z"));
    let path = StepPath::root().child(1);
    let cleared = clearance(&intent, run, &path);
    let create = endpoint(&connection, "create_payout");
    let client = Client::new().unwrap();
    let answer = client
        .send_money(&connection, create, &intent, &cleared, run, &path)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("x-thing"), &answer.body[..]),
        (200, Some("a"), b"{}".as_slice())
    );
    let sent = heard.recv().await.unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/payouts HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, intent.request.body.unwrap());
    for line in [
        "authorization: Bearer sandbox.key",
        "idempotency-key: 0b9e3c1a-key",
        "api-version: 2026-05-01",
        "content-type: application/json",
        "accept: application/json",
    ] {
        assert_eq!(
            head.lines().filter(|sent| sent.eq_ignore_ascii_case(line)).count(),
            1,
            "{line} in\n{head}"
        );
    }
}

#[tokio::test]
#[should_panic(expected = "moves money and needs a clearance")]
async fn money_does_not_go_out_by_the_common_door() {
    let connection = bank_at("http://127.0.0.1:1");
    let create = endpoint(&connection, "create_payout");
    let client = Client::new().unwrap();
    let request = intent(&connection).request;
    drop(client.send(&connection, create, &request, None).await);
}

#[tokio::test]
#[should_panic(expected = "has no clearance for what it would send")]
async fn a_clearance_is_for_these_bytes_alone() {
    let connection = bank_at("http://127.0.0.1:1");
    let create = endpoint(&connection, "create_payout");
    let mut intent = intent(&connection);
    let run = RunId::generate(time("2026-05-01T00:00:00Z"));
    let path = StepPath::root().child(1);
    let cleared = clearance(&intent, run, &path);
    intent.request.body = intent.request.body.map(|body| body.replace("100.50", "900.50"));
    let client = Client::new().unwrap();
    drop(
        client
            .send_money(&connection, create, &intent, &cleared, run, &path)
            .await,
    );
}

#[tokio::test]
#[should_panic(expected = "has no clearance")]
async fn a_clearance_is_for_one_step_alone() {
    let connection = bank_at("http://127.0.0.1:1");
    let create = endpoint(&connection, "create_payout");
    let intent = intent(&connection);
    let run = RunId::generate(time("2026-05-01T00:00:00Z"));
    let cleared = clearance(&intent, run, &StepPath::root().child(1));
    let other = StepPath::root().child(2);
    let client = Client::new().unwrap();
    drop(
        client
            .send_money(&connection, create, &intent, &cleared, run, &other)
            .await,
    );
}

#[tokio::test]
async fn nobody_there_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = read_account(&bank_at(&format!("http://{address}"))).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_means_not_sent() {
    let (mut connection, mut heard, _) = serve(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    connection.base_url = connection.base_url.replace("http:", "https:");
    let error = read_account(&connection).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
    assert!(!heard.try_recv().is_ok_and(|sent| sent.contains("sandbox.key")));
}

#[tokio::test]
async fn an_end_after_the_request_means_unknown() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 5 * 1024 * 1024);
    let too_long = [long.into_bytes(), vec![b' '; 5 * 1024 * 1024]].concat();
    let cases: [(&str, Vec<u8>); 5] = [
        ("no answer at all", Vec::new()),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
        (
            "half a body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"id\"".to_vec(),
        ),
        ("no HTTP", b"hello\r\n\r\n".to_vec()),
        ("a body without end", too_long),
    ];
    for (name, answer) in cases {
        let (connection, _heard, connections) = serve(answer).await;
        let error = read_account(&connection).await.expect_err(name);
        assert!(matches!(error, SendError::Unknown(_)), "{name}: {error}");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{name}: sent more than once");
        let text = error.to_string();
        assert!(!text.contains("sandbox.key") && !text.contains(ACCOUNT), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (elsewhere, _, visited) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/x\r\ncontent-length: 0\r\n\r\n",
        elsewhere.base_url
    );
    let (connection, _, _) = serve(redirect.into_bytes()).await;
    assert_eq!(read_account(&connection).await.unwrap().status, 307);
    assert_eq!(visited.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_cannot_be_sent_rightly_is_not_sent() {
    let mut connection = bank_at("http://127.0.0.1:1");
    connection.credential = None;
    let error = read_account(&connection).await.unwrap_err().to_string();
    assert_eq!(error, "connection `bank` has no api_key");
    let error = read_account(&bank_at("http://api.example.com"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("is not encrypted"), "{error}");
    let connection = bank_at("http://127.0.0.1:1");
    let freeze = endpoint(&connection, "freeze_account");
    let args = Map::from([("id".to_owned(), Value::text(ACCOUNT))]);
    let request = prepare(&connection, freeze, &args, None).unwrap().request;
    let long = "k".repeat(256);
    let client = Client::new().unwrap();
    let error = client
        .send(&connection, freeze, &request, Some(&long))
        .await
        .unwrap_err();
    assert_eq!(error, SendError::NotSent("the key is longer than 255 bytes".to_owned()));
}

#[tokio::test]
async fn a_credential_goes_where_the_table_says_and_nowhere_public() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let (connection, mut heard, _) = serve(ok.to_vec()).await;
    let table = EMBEDDED[0]
        .1
        .replace("scheme = \"bearer\"", "scheme = \"header\"\nname = \"X-Api-Key\"");
    let by_header = Connection {
        connector: Arc::new(Connector::parse("augustus.toml", &table).unwrap()),
        ..connection.clone()
    };
    read_account(&by_header).await.unwrap();
    let sent = heard.recv().await.unwrap();
    assert!(
        sent.contains("\r\nx-api-key: sandbox.key\r\n") && !sent.contains("authorization"),
        "{sent}"
    );
    let scopes = endpoint(&connection, "list_scopes");
    let request = prepare(&connection, scopes, &Map::new(), None).unwrap().request;
    let client = Client::new().unwrap();
    client.send(&connection, scopes, &request, None).await.unwrap();
    let sent = heard.recv().await.unwrap();
    assert!(
        sent.starts_with("GET /v1/scopes HTTP/1.1") && !sent.contains("sandbox.key"),
        "{sent}"
    );
}

#[tokio::test]
#[should_panic(expected = "the intent of create_webhook_subscription is for another request than it holds")]
async fn a_key_never_goes_out_with_another_request_than_it_was_made_for() {
    let connection = bank_at("http://127.0.0.1:1");
    let create = endpoint(&connection, "create_webhook_subscription");
    let args = |url: &str| {
        let events = Value::List(vec![Value::text("payout.paid")]);
        Map::from([("url".to_owned(), Value::text(url)), ("events".to_owned(), events)])
    };
    let of = |url: &str| prepare(&connection, create, &args(url), None).unwrap();
    let (meant, other) = (of("https://a.example"), of("https://b.example"));
    let intent = Intent {
        endpoint: create.name.clone(),
        fingerprint: meant.fingerprint,
        request: other.request,
        movement: None,
        ..intent(&connection)
    };
    drop(Client::new().unwrap().send_write(&connection, create, &intent).await);
}
