//! The one form of a request's path, which the routes have.

use axum::http::Uri;

/// Pages that redirect to their address without the slash, since they name their files relative to it.
const PAGES_WITH_SLASH: [&str; 2] = ["/docs/", "/redoc/"];

/// Gives a path the form that the routes have: without a slash at the end, and without escapes that RFC 3986 calls the
/// same as what they stand for (6.2.2.2).
///
/// The app that this replaces redirected `/sensors/` to `/sensors` (307); here both are answered at once.
pub(super) fn normalize(uri: &mut Uri) {
    let Some(path) = normal(uri.path()) else { return };
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path_and_query.try_into().ok();
    if let Ok(normal) = Uri::from_parts(parts) {
        *uri = normal;
    }
}

/// None where it has that form.
fn normal(path: &str) -> Option<String> {
    let is_page = PAGES_WITH_SLASH.contains(&path);
    let without_slash = path.strip_suffix('/').filter(|rest| !rest.is_empty() && !is_page);
    let is_escaped = path.contains('%');
    match without_slash {
        None if !is_escaped => None,
        without_slash => {
            let path = without_slash.unwrap_or(path);
            Some(if is_escaped { unescape_unreserved(path) } else { path.to_owned() })
        }
    }
}

/// Once, and nothing else: `%2F` is no slash, and `%2541` stays what it is.
fn unescape_unreserved(path: &str) -> String {
    let mut unescaped = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        unescaped.push_str(before);
        let stands_for = escape
            .get(1..3)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .map(char::from)
            .filter(|&character| character.is_ascii_alphanumeric() || "-._~".contains(character));
        unescaped.push(stands_for.unwrap_or('%'));
        rest = &escape[if stands_for.is_some() { 3 } else { 1 }..];
    }
    unescaped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (given, normalized) in [
            ("/sensors", "/sensors"),
            ("/sensors/", "/sensors"),
            ("/sensors/?type=a/&q=%41/", "/sensors?type=a/&q=%41/"),
            ("/sensors//", "/sensors/"),
            ("/", "/"),
            ("//", "/"),
            ("/docs/", "/docs/"),
            ("/sensor%5Fdata/%33/", "/sensor_data/3"),
            ("/sensor%5fdata/3?a", "/sensor_data/3?a"),
            ("/a%2Fb%20%2541%", "/a%2Fb%20%2541%"),
            ("/%4", "/%4"),
            ("/%+1/%e2%82%ac", "/%+1/%e2%82%ac"),
            ("http://host/sensors/", "http://host/sensors"),
            ("*", "*"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            normalize(&mut uri);
            assert_eq!(uri, normalized, "{given}");
        }
    }
}
