//! What stands behind the question mark of a request.

use std::borrow::Cow;

/// Names and values, decoded.
#[derive(Debug)]
pub(in crate::http) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Every text is a query; what is not UTF-8 in it becomes U+FFFD.
    pub(in crate::http) fn parse(query: Option<&'a str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// The last value of this name.
    pub(in crate::http) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts() {
        let query = Query::parse(Some("a=1&b=x+y&a=%32&c"));
        assert_eq!(query.get("a"), Some("2"));
        assert_eq!(query.get("b"), Some("x y"));
        assert_eq!(query.get("c"), Some(""));
        assert_eq!(query.get("d"), None);
        assert_eq!(Query::parse(None).get("a"), None);
    }
}
