//! Readings to the api, as its clients send them.

use std::{fmt::Display, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::ApiKey,
    ledger::{Ledger, Tag},
    pace::Pace,
    plan::Plan,
};
use sensorpipe::{kafka::producer::Receipt, reading::encode};

/// Longest wait for an answer, and for a connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a request that got no answer, so that an api that is away is not run against.
const TROUBLE_PAUSE: Duration = Duration::from_millis(100);

/// How an answer ends that turned a request away.
pub(crate) const NOTHING_STORED: &str = "Nothing was stored.";

/// Where the api is.
#[derive(Clone, Debug)]
pub(crate) struct ApiAddress {
    authority: String,
    port: u16,
    host: String,
    path: String,
}

/// The address is none that requests can be sent to.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not an address such as http://127.0.0.1:8080 (without TLS)")]
pub(crate) struct InvalidAddress(String);

impl ApiAddress {
    /// Takes an address apart.
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        Ok(Self {
            authority: authority.to_string(),
            port: authority.port_u16().unwrap_or(80),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// Sends records over HTTP.
#[derive(Clone)]
pub(crate) struct HttpSender {
    /// Where to.
    pub api: ApiAddress,
    /// What lets the requests in, where that takes a key.
    pub key: Option<ApiKey>,
    /// The topic that the api has to publish to, if that matters.
    pub topic: Option<String>,
    /// What is sent.
    pub plan: Arc<Plan>,
    /// When.
    pub pace: Pace,
    /// What came of it.
    pub ledger: Arc<Ledger>,
    /// Cancelled when it is enough.
    pub stop: CancellationToken,
}

impl HttpSender {
    /// Sends until it is enough, over so many connections; returns how many records.
    pub(crate) async fn send(self, connections: u16) -> u64 {
        self.ledger.start();
        let next = Arc::new(Mutex::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let (sender, next) = (self.clone(), Arc::clone(&next));
            clients.spawn(async move { sender.client(&next).await });
        }
        clients.join_all().await;
        *next.lock().await
    }

    async fn client(self, next: &Mutex<u64>) {
        let sample_every = self.pace.sample_every();
        let mut connection = None;
        while let Some((number, tag)) = self.take(next, sample_every).await {
            let answer = match timeout(ANSWER_TIMEOUT, self.request(&mut connection, number)).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err("no answer in time".to_owned()),
            };
            match answer {
                Ok(Answer::Accepted(receipt)) => self.ledger.note(tag, Ok(receipt)),
                Ok(Answer::Refused) => {
                    self.ledger.refused(number, tag);
                    // On schedule the next one is sent whatever came of this one.
                    if self.pace.due(number).is_none() {
                        sleep(TROUBLE_PAUSE).await;
                    }
                }
                Err(reason) => {
                    self.ledger.note(tag, Err(reason));
                    connection = None;
                    sleep(TROUBLE_PAUSE).await;
                }
            }
        }
    }

    /// The next record, when it is due. Who waits for one holds up the others, whose records are due later.
    async fn take(&self, next: &Mutex<u64>, sample_every: u64) -> Option<(u64, Tag)> {
        let mut next = next.lock().await;
        let number = *next;
        if let Some(wait) = self.pace.due(number).and_then(|due| due.checked_sub(self.ledger.elapsed())) {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => {}
            }
        }
        let elapsed = self.ledger.elapsed();
        if self.pace.is_over(number, elapsed) || self.stop.is_cancelled() {
            return None;
        }
        *next += 1;
        let due = self.pace.due(number).unwrap_or(elapsed);
        Some((number, Tag { due, is_sample: number.is_multiple_of(sample_every) }))
    }

    async fn request(
        &self,
        connection: &mut Option<SendRequest<Full<Bytes>>>,
        number: u64,
    ) -> Result<Answer, String> {
        let sender = match connection {
            Some(sender) if !sender.is_closed() => sender,
            _ => connection.insert(connect(&self.api).await?),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/sensor_data/{}", self.api.path, self.plan.sensor_id(number)))
            .header(HOST, &self.api.authority)
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.bearer());
        }
        let request = request.body(Full::from(body(&self.plan, number))).map_err(describe)?;
        sender.ready().await.map_err(describe)?;
        let response = sender.send_request(request).await.map_err(describe)?;
        let status = response.status();
        let answer = response.into_body().collect().await.map_err(describe)?.to_bytes();
        match status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Ok(Answer::Refused),
            StatusCode::SERVICE_UNAVAILABLE if is_overload(&answer) => return Ok(Answer::Refused),
            _ => return Err(format!("status {status}: {}", detail(&answer))),
        }
        let Accepted { receipt } = serde_json::from_slice(&answer).map_err(describe)?;
        match &self.topic {
            Some(topic) if *topic != receipt.topic => {
                Err(format!("the api publishes to {}, not to {topic}", receipt.topic))
            }
            _ => Ok(Answer::Accepted(Receipt { partition: receipt.partition, offset: receipt.offset })),
        }
    }
}

/// What the api said of a record.
enum Answer {
    Accepted(Receipt),
    /// Turned away before anything was done for it.
    Refused,
}

/// The part of an answer that says why there is none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: serde_json::Value,
}

fn detail(answer: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(answer).unwrap_or_default().detail {
        serde_json::Value::String(detail) => detail,
        other => other.to_string(),
    }
}

/// Of what is 503 only that which certainly stored nothing: a record that Kafka did not acknowledge may be there.
fn is_overload(answer: &[u8]) -> bool {
    detail(answer).ends_with(NOTHING_STORED)
}

/// The part of an answer that says where the readings are.
#[derive(Deserialize)]
struct Accepted {
    receipt: Place,
}

#[derive(Deserialize)]
struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

async fn connect(api: &ApiAddress) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect((api.host.as_str(), api.port)).await.map_err(describe)?;
    stream.set_nodelay(true).map_err(describe)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(describe)?;
    // Ends with the sender; what went wrong, the sender says.
    tokio::spawn(connection);
    Ok(sender)
}

fn describe(error: impl Display) -> String {
    error.to_string()
}

fn body(plan: &Plan, number: u64) -> String {
    let mut readings = plan.readings(number);
    let mut body = String::new();
    if plan.per_record() == 1 {
        if let Some(reading) = readings.next() {
            encode::write_item(&reading, &mut body);
        }
        return body;
    }
    body.push_str(r#"{"data":["#);
    for (place, reading) in readings.enumerate() {
        if place > 0 {
            body.push(',');
        }
        encode::write_item(&reading, &mut body);
    }
    body.push_str("]}");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_certainly_stored_nothing_is_a_refusal() {
        assert!(is_overload(br#"{"detail":"Too many requests in a second. Nothing was stored."}"#));
        assert!(!is_overload(br#"{"detail":"The readings may or may not have been stored."}"#));
        assert!(!is_overload(b"<html>"));
    }

    #[test]
    fn an_address_is_taken_apart() {
        let api = ApiAddress::parse("http://[::1]:8080/sensorpipe/").unwrap();
        assert_eq!((api.host.as_str(), api.port, api.path.as_str()), ("::1", 8080, "/sensorpipe"));
        assert_eq!(ApiAddress::parse("http://api").unwrap().port, 80);
        for url in ["https://api", "api:8080", "http://me:pw@api", "http://api/?a=b", ""] {
            assert!(ApiAddress::parse(url).is_err(), "{url}");
        }
    }
}
