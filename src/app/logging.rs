//! Log lines, each with the name of the request and the trace that it is about.
//!
//! A span of `tracing`'s for each request would do the same, at a tenth of what a request costs in all, though hardly
//! any logs.

use std::{fmt, io::IsTerminal};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::command_line::refuse;
use crate::{
    config::{LogConfig, LogFormat},
    http,
    log_level::{LogLevel, SetFilter, filter_of},
    traces::{self, Ids},
};

/// Sends log lines to stderr, so that a command's answer on stdout stays clean. The process ends where the filter is
/// none.
///
/// The handle changes the level while the process runs.
pub fn start_logging(config: &LogConfig) -> LogLevel {
    let filter = filter_of(&config.log_level)
        .unwrap_or_else(|error| refuse(&format!("LOG_LEVEL: {:#}", anyhow::Error::from(error))));
    let is_terminal = std::io::stderr().is_terminal();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal);
    let set: SetFilter = match config.log_format {
        LogFormat::Text => {
            let subscriber = subscriber
                .map_event_format(|lines| NamesWork::Text(lines.with_ansi(is_terminal)))
                .with_filter_reloading();
            let handle = subscriber.reload_handle();
            subscriber.init();
            Box::new(move |filter| handle.reload(filter).is_ok())
        }
        LogFormat::Json => {
            let subscriber = subscriber
                .json()
                .flatten_event(true)
                .map_event_format(NamesWork::Json)
                .with_filter_reloading();
            let handle = subscriber.reload_handle();
            subscriber.init();
            Box::new(move |filter| handle.reload(filter).is_ok())
        }
    };
    LogLevel::new(&config.log_level, set)
}

/// SIGUSR1 turns this crate's debug lines on, and the next one brings back what was configured.
///
/// A signal, since a worker's HTTP has no keys: whoever may send one may do anything to the process as it is.
pub(super) async fn toggle_on_signal(log_level: LogLevel) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut asked) = signal(SignalKind::user_defined1()) else {
        tracing::warn!("SIGUSR1 cannot be received; the log level cannot be toggled");
        return std::future::pending().await;
    };
    while asked.recv().await.is_some() {
        log_level.toggle_debug();
    }
}

/// Adds `request.id`, `trace_id` and `span_id` to the lines of another format.
enum NamesWork<F> {
    /// At the end of the line.
    Text(F),
    /// As a field of the object that the line is.
    Json(F),
}

impl<S, N, F> FormatEvent<S, N> for NamesWork<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (Self::Text(lines) | Self::Json(lines)) = self;
        let names = names();
        if names.is_empty() {
            return lines.format_event(context, writer, event);
        }
        let mut line = String::new();
        lines.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        // No name has a character that would have to be escaped.
        match self {
            Self::Text(_) => {
                write!(writer, "{line}")?;
                for (field, name) in names {
                    write!(writer, " {field}={name}")?;
                }
                writeln!(writer)
            }
            Self::Json(_) => {
                write!(writer, "{}", line.strip_suffix('}').unwrap_or(line))?;
                for (field, name) in names {
                    write!(writer, r#","{field}":"{name}""#)?;
                }
                writeln!(writer, "}}")
            }
        }
    }
}

/// What the task that logs works on. The two of the trace are called as OpenTelemetry has them in JSON.
fn names() -> Vec<(&'static str, String)> {
    let mut names = Vec::new();
    names.extend(http::current_request_id().map(|id| ("request.id", id)));
    if let Some(Ids { trace_id, span_id }) = traces::current_ids() {
        names.extend([("trace_id", trace_id), ("span_id", span_id)]);
    }
    names
}
