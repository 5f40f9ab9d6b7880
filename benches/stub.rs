//! Servers to measure against: a payment API that answers at once, and a receiver that only verifies.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bursar::base::clock::Instant;
use bursar::base::secret::Secret;
use bursar::connector::signature::{Scheme, verify};
use bursar::model::event::Delivery;
use tokio::net::TcpListener;

/// Serves this on a free port of 127.0.0.1 until the runtime ends.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await.expect("a server") });
    address
}

/// A payment API whose every answer is the same.
pub(crate) async fn payments() -> SocketAddr {
    let answer = || async { ([("content-type", "application/json")], r#"{"ok":true,"charge":"ch_1"}"#) };
    serve(
        Router::new()
            .route("/step1", post(answer))
            .route("/step2", post(answer)),
    )
    .await
}

/// A receiver of webhooks that checks the signature, and nothing else.
pub(crate) async fn verifier(scheme: Scheme, secret: Secret, now: Instant) -> SocketAddr {
    let known = Arc::new((scheme, [secret]));
    let take = move |headers: HeaderMap, body: Bytes| {
        let known = Arc::clone(&known);
        async move {
            let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            };
            let delivery = Delivery {
                connection: String::new(),
                sender: std::net::Ipv4Addr::LOCALHOST.into(),
                headers: headers.iter().map(header).collect(),
                body,
                received_at: now,
            };
            match verify(&known.0, &known.1, &delivery, now) {
                Ok(()) => StatusCode::OK,
                Err(_) => StatusCode::UNAUTHORIZED,
            }
        }
    };
    serve(Router::new().route("/hooks/{connection}", post(take))).await
}
