//! A progress bar, where somebody looks at one.

use std::{fmt::Write, io::IsTerminal, sync::Arc, time::Duration};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use tokio::task::JoinHandle;

use crate::{ledger::Ledger, pace::Pace};

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Shows how far a run is, on stderr if that is a terminal; gone with the value.
pub(crate) struct Progress {
    bar: ProgressBar,
    drawing: JoinHandle<()>,
}

impl Progress {
    /// Counts acknowledged readings.
    pub(crate) fn start(ledger: Arc<Ledger>, pace: &Pace, per_record: u64) -> Self {
        let (bar, style) = match pace.records() {
            _ if !std::io::stderr().is_terminal() => (ProgressBar::hidden(), ""),
            Some(records) => (
                ProgressBar::new(records * per_record),
                "{wide_bar} {human_pos}/{human_len} readings, {speed}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{elapsed} {human_pos} readings, {speed}"),
        };
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("speed", write_speed));
        let drawn = bar.clone();
        let drawing = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REDRAW_INTERVAL);
            loop {
                ticks.tick().await;
                drawn.set_position(ledger.acknowledged_records() * per_record);
            }
        });
        Self { bar, drawing }
    }
}

fn write_speed(state: &ProgressState, out: &mut dyn Write) {
    // What cannot be drawn is left out.
    let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.drawing.abort();
        self.bar.finish_and_clear();
    }
}
