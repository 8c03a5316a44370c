//! Requests as bytes on a socket, for what an HTTP client would not send.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::site::{PATIENCE, Server};

/// A connection to the api.
pub(crate) struct Raw(BufReader<TcpStream>);

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} after {PATIENCE:?}"))
}

/// An answer with a length.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) async fn connect(server: &Server) -> Self {
        let address = server.url.trim_start_matches("http://");
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// Sends all of these bytes, and reads nothing meanwhile.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        within("the bytes are not sent", self.0.write_all(bytes.as_ref())).await
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> std::io::Result<RawAnswer> {
        within("no answer", async {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if self.0.read_line(&mut head).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            let head = head.to_lowercase();
            let length =
                head.split("content-length: ").nth(1).map_or("0", |rest| rest.lines().next().unwrap());
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await?;
            let status = head[9..12].parse().unwrap();
            Ok(RawAnswer { status, head, body: String::from_utf8(body).unwrap() })
        })
        .await
    }

    /// Waits until the api closes the connection; what came before that.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = within("the connection is open", self.0.read_to_end(&mut rest)).await;
        rest
    }
}
