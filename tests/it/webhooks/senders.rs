//! Who may send, and how much: bounds by address, proxies, allow-lists, and the refusals that are counted.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bursar::server::counters::Outcome;
use bursar::server::webhook::DoorLimits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::harness::{Harness, OTHER_SECRET, Reply, new_store};

/// A connection from another address of this machine.
async fn connect_from(last: u8, door: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(own).expect("an address of this machine");
    socket.connect(door).await.expect("the door is open")
}

async fn send_from(last: u8, door: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = connect_from(last, door).await;
    // A door that refuses early does not read to the end.
    drop(stream.write_all(request).await);
    Reply::read(&mut stream).await
}

fn figure(harness: &Harness, name: &str) -> u64 {
    harness.counters.figures()[name]
}

#[tokio::test]
async fn one_address_takes_no_more_than_its_places_and_leaves_the_others_theirs() {
    let harness = Harness::with_limits(DoorLimits {
        connections_per_address: 3,
        ..DoorLimits::default()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(harness.connect().await);
    }
    let mut one_more = harness.connect().await;
    assert_eq!(
        Reply::read(&mut one_more).await.status,
        0,
        "it is closed without a word"
    );
    assert_eq!(figure(&harness, "turned_away"), 1);
    let request = harness.deposit("e1").request();
    assert_eq!(send_from(2, harness.address, &request).await.status, 200);
    // A place is free again when a connection has ended.
    silent.pop();
    let mut status = 0;
    for _ in 0..100 {
        status = send_from(1, harness.address, &harness.deposit("e2").request())
            .await
            .status;
        if status == 200 {
            break;
        }
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_however_its_parts_come() {
    let harness = Harness::with_limits(DoorLimits {
        total_timeout: Duration::from_millis(300),
        ..DoorLimits::default()
    })
    .await;
    for sent in [
        "",
        "POST /hooks/bank HTTP/1.1\r\nhost:",
        "POST /hooks/bank HTTP/1.1\r\nhost: door\r\ncontent-length: 10\r\n\r\n{",
    ] {
        let mut stream = harness.connect().await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let cut = tokio::time::timeout(Duration::from_secs(3), Reply::read(&mut stream)).await;
        assert_eq!(cut.expect("long before the other limits").status, 0, "{sent:?}");
    }
    assert_eq!(harness.send(&harness.deposit("e1")).await.status, 200);
}

#[tokio::test]
async fn a_connection_may_say_where_its_deliveries_come_from() {
    let harness = Harness::new().await;
    let mut delivery = harness.deposit("e1");
    delivery.path = "/hooks/listed".to_owned();
    let request = delivery.request();
    let refused = send_from(1, harness.address, &request).await;
    let mut forged = delivery.clone();
    forged.secret = OTHER_SECRET;
    let unsigned = send_from(7, harness.address, &forged.request()).await;
    assert_eq!(
        (refused.status, &refused.body),
        (401, &unsigned.body),
        "the answer is the same"
    );
    assert_eq!(figure(&harness, "unsigned_sender"), 1);
    assert_eq!(figure(&harness, "unsigned_mismatch"), 1);
    assert!(harness.events().await.is_empty());
    assert_eq!(send_from(7, harness.address, &request).await.status, 200);
}

#[tokio::test]
async fn behind_a_proxy_the_address_is_the_one_it_names_and_nobody_elses_word_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxies = ["127.0.0.9".parse().expect("a network")];
    let limits = DoorLimits {
        connections_per_address: 1,
        ..DoorLimits::default()
    };
    let harness = Harness::behind(new_store(&folder).await, limits, &proxies).await;
    let check = async |from: u8, hops: &str, status: u16| {
        let mut delivery = harness.deposit("e1");
        delivery.path = "/hooks/listed".to_owned();
        delivery.extra_headers = format!("x-forwarded-for: {hops}\r\n");
        let reply = send_from(from, harness.address, &delivery.request()).await;
        assert_eq!(reply.status, status, "from 127.0.0.{from} with {hops}");
    };
    check(9, "203.0.113.5", 200).await;
    check(9, "203.0.113.5, 127.0.0.9", 200).await;
    check(9, "203.0.113.5, 198.51.100.1", 401).await;
    check(8, "203.0.113.5", 401).await;
    // The proxy's own connections are not one sender's.
    let silent = [
        connect_from(9, harness.address).await,
        connect_from(9, harness.address).await,
    ];
    check(9, "203.0.113.6", 200).await;
    drop(silent);
    assert_eq!(figure(&harness, "turned_away"), 0);
}

#[tokio::test]
async fn from_an_address_that_sends_much_unsigned_nothing_large_is_read_for_a_minute() {
    let harness = Harness::new().await;
    let mut forged = harness.deposit("e1");
    forged.secret = OTHER_SECRET;
    for _ in 0..20 {
        assert_eq!(harness.send(&forged).await.status, 401);
    }
    // Only the head is sent: an answer proves that the body was not waited for.
    let large = b"POST /hooks/bank HTTP/1.1\r\nhost: door\r\ncontent-length: 20001\r\n\r\n";
    let reply = harness.exchange(large).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (429, "too many unsigned requests: try again later\n")
    );
    assert!(reply.head.contains("retry-after: 60"), "{}", reply.head);
    let piece = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(5);
    let unannounced = format!("POST /hooks/bank HTTP/1.1\r\nhost: door\r\ntransfer-encoding: chunked\r\n\r\n{piece}");
    assert_eq!(harness.exchange(unannounced.as_bytes()).await.status, 429);
    assert_eq!(harness.counted(Outcome::HeldBack), 2);
    // What is small is looked at still, and other addresses are not meant.
    assert_eq!(harness.send(&harness.deposit("e1")).await.status, 200);
    let mut signed = harness.deposit("e2");
    signed
        .body
        .splice(1..1, format!("\"note\": \"{}\", ", "x".repeat(30_000)).into_bytes());
    assert_eq!(send_from(2, harness.address, &signed.request()).await.status, 200);
    assert_eq!(send_from(1, harness.address, &signed.request()).await.status, 429);
    harness.clock.advance(Duration::from_secs(60));
    signed.signed_at += chrono::TimeDelta::seconds(60);
    assert_eq!(send_from(1, harness.address, &signed.request()).await.status, 200);
    assert_eq!(figure(&harness, "unsigned_mismatch"), 20);
    assert_eq!(harness.events().await.len(), 2);
}
