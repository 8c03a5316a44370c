//! What the pages are made of, as it is in the binary.

/// The page; `{pages}` stands for where the files are.
pub(super) const PAGE: &str = include_str!("assets/index.html");

pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal: $content_type:expr,)*) => {
        [$(($name, $content_type, include_str!(concat!("assets/", $name)))),*]
    };
}

/// Each file's name, content type and text.
pub(super) const ALL: &[(&str, &str, &str)] = &files![
    "address.js": SCRIPT,
    "api.js": SCRIPT,
    "days.js": SCRIPT,
    "dead_letters.js": SCRIPT,
    "dialog.js": SCRIPT,
    "dom.js": SCRIPT,
    "download.js": SCRIPT,
    "events.js": SCRIPT,
    "format.js": SCRIPT,
    "icon.svg": PICTURE,
    "dead_letter.js": SCRIPT,
    "lines.js": SCRIPT,
    "main.js": SCRIPT,
    "overview.js": SCRIPT,
    "paged_list.js": SCRIPT,
    "plot.js": SCRIPT,
    "readings_chart.js": SCRIPT,
    "send.js": SCRIPT,
    "sensor.js": SCRIPT,
    "sensor_form.js": SCRIPT,
    "sensors.js": SCRIPT,
    "sparkline.js": SCRIPT,
    "style.css": STYLE,
    "live_readings.js": SCRIPT,
    "tally.js": SCRIPT,
    "theme.js": SCRIPT,
    "upload.js": SCRIPT,
    "uplot/uplot.css": STYLE,
    "uplot/uplot.js": SCRIPT,
    "view.js": SCRIPT,
    "zone.js": SCRIPT,
];
