//! A client of event streams.

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::site::{PATIENCE, Server};

/// An event as it came.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: i64,
    pub(crate) data: Value,
    /// All of its text.
    pub(crate) text: String,
}

/// A stream that is being read.
pub(crate) struct Events {
    response: Response,
    unread: String,
}

impl Events {
    /// Opens a stream, which says what every stream does.
    pub(crate) async fn open(server: &Server, path: &str) -> Self {
        let response = server.open(path, |request| request).await;
        assert_eq!(response.status(), 200);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store, no-transform"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        let mut events = Self { response, unread: String::new() };
        assert_eq!(events.piece().await.unwrap(), "retry: 2000");
        events
    }

    /// The next event; none once the stream has ended as it should.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let text = self.piece().await?;
            if text != ":" {
                return Some(parse(text));
            }
        }
    }

    async fn piece(&mut self) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.unread.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(piece);
            }
            let bytes = timeout(PATIENCE, self.response.chunk()).await.expect("something comes").unwrap()?;
            self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

fn parse(text: String) -> Event {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        line.strip_prefix(": ").unwrap().to_owned()
    };
    Event {
        name: field("event"),
        id: field("id").parse().unwrap(),
        data: serde_json::from_str(&field("data")).unwrap(),
        text,
    }
}
