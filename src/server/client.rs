//! The other end of the control socket, for commands that talk to the running process.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::BytesMut;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::protocol::ErrorBody;

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no bursar is running here (nothing answers at {})", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody else's.
    #[error("{} belongs to another user", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The process answered, but did not do it.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// A stable snake_case code.
        code: String,
        /// A plain sentence.
        message: String,
    },
    /// The conversation broke off; whether the request was carried out is not known.
    #[error("the control socket broke off: {0}")]
    Broken(String),
}

/// One conversation with the running process.
#[derive(Debug)]
pub struct ControlClient {
    sender: http1::SendRequest<String>,
    driver: JoinHandle<()>,
}

impl ControlClient {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when nobody listens there.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { path: path.into() }
            }
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path: path.into() },
            _ => broken(error),
        })?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the control socket broke off");
            }
        });
        Ok(Self { sender, driver })
    }

    /// Asks.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, String::new()).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).map_err(broken)?;
        self.send(Method::POST, path, body).await
    }

    async fn send<T: DeserializeOwned>(&mut self, method: Method, path: &str, body: String) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "bursar")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(broken)?;
        self.sender.ready().await.map_err(broken)?;
        let answer = self.sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = read(answer.into_body()).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(broken);
        }
        let ErrorBody { error } = serde_json::from_slice(&body).map_err(|_| broken(format!("it answered {status}")))?;
        Err(ClientError::Refused {
            status: status.as_u16(),
            code: error.code,
            message: error.message,
        })
    }
}

impl Drop for ControlClient {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn read(mut body: Incoming) -> Result<BytesMut, ClientError> {
    let mut read = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn broken(error: impl ToString) -> ClientError {
    ClientError::Broken(error.to_string())
}
