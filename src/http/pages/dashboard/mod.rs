//! The pages for people at `/`: one HTML page, its modules and its style, all from this binary.
//!
//! The page names its files under `/pages/{version}/`, where the version is a digest of all of them: a browser keeps
//! them for good, and asks for others after an upgrade. They ask the api's own routes for everything that they show.

mod files;

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::static_file::StaticFile;
use crate::http::server::{Access, ApiError, Routes};

/// Nothing inline and nothing from elsewhere; texts never become markup or code, whatever a page does with them.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'",
);
/// Asked for again each time, so that an upgrade shows; mostly the answer is that it is the same.
const PAGE_CACHE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-cache"));
/// Another version has another address.
const FILE_CACHE: (HeaderName, HeaderValue) =
    (CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
/// Bytes of the digest in addresses.
const VERSION_BYTES: usize = 8;

/// The page and the version of its files.
struct Pages {
    page: StaticFile,
    /// In the order of [`files::ALL`].
    files: Vec<StaticFile>,
    version: String,
    etag: HeaderValue,
}

impl Pages {
    fn new() -> Self {
        let mut digest = Sha256::new();
        for (name, _, text) in files::ALL {
            digest.update(name.len().to_be_bytes());
            digest.update(name);
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        digest.update(files::PAGE);
        let version = digest.finalize()[..VERSION_BYTES]
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let html = html_of(&version);
        // Weak, for it is the same packed and unpacked. Hex digits are a header's.
        let etag =
            HeaderValue::try_from(format!("W/\"{version}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        let page = StaticFile::new(HeaderValue::from_static("text/html; charset=utf-8"), html);
        let files = files::ALL
            .iter()
            .map(|(_, content_type, text)| StaticFile::new(HeaderValue::from_static(content_type), *text))
            .collect();
        Self { page, files, version, etag }
    }
}

/// The page that names the files of a version.
fn html_of(version: &str) -> String {
    files::PAGE.replace("{pages}", &format!("pages/{version}"))
}

/// The page at `/`, and its files.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    let pages = Arc::new(Pages::new());
    Routes::new().page(Access::Public, "/", page, Arc::clone(&pages)).page(
        Access::Public,
        "/pages/{version}/{*file}",
        file,
        pages,
    )
}

async fn page(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    // The browser takes the headers of "not modified" for the page's: the policy of other answers would close it.
    let common = [PAGE_CACHE, (ETAG, pages.etag.clone()), (CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    let has_it = headers.get_all(IF_NONE_MATCH).iter().any(|known| known == pages.etag);
    if has_it {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, pages.page.answer(&headers).await).into_response()
}

async fn file(
    State(pages): State<Arc<Pages>>,
    Path((version, wanted)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A page of another version would mix its files with ours: it has to be loaded anew.
    let place = files::ALL.iter().position(|(name, ..)| version == pages.version && *name == wanted);
    let file = place.and_then(|place| pages.files.get(place)).ok_or(ApiError::NotFound("Not found."))?;
    Ok(([FILE_CACHE], file.answer(&headers).await).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_module_names_is_served() {
        let names: Vec<&str> = files::ALL.iter().map(|(name, ..)| *name).collect();
        let in_page =
            files::PAGE.split("{pages}/").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
        for name in in_page {
            assert!(names.contains(&name), "{name}");
        }
        let mut imports = 0;
        for (from, content_type, text) in files::ALL {
            if *content_type != files::SCRIPT || from.starts_with("uplot/") {
                continue;
            }
            for rest in text.split("\"./").skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                assert!(names.contains(&name), "{from} imports {name}");
                imports += 1;
            }
        }
        assert!(imports > 20, "{imports}");
    }

    #[test]
    fn nothing_is_inline_or_from_elsewhere() {
        let html = html_of("0123456789abcdef");
        assert!(!html.contains("{pages}") && !html.contains("//") && !html.contains("style="), "{html}");
        assert!(!html.contains("<style") && !html.contains("<script>") && !html.contains(" on"), "{html}");
    }
}
