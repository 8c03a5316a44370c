use reqwest::Method;
use sensorpipe::store::keys::StoredKeys;

use crate::site::{Answer, Site};

/// The addresses of the page's files.
fn files(page: &Answer) -> Vec<String> {
    let addresses = page.text.split("\"pages/").skip(1).filter_map(|rest| rest.split('"').next());
    addresses.map(|address| format!("/pages/{address}")).collect()
}

async fn packed(site: &Site, path: &str) -> Answer {
    site.server.request(Method::GET, path, |request| request.header("accept-encoding", "gzip")).await
}

#[tokio::test]
async fn the_page_and_its_files_come_from_this_server_alone() {
    let site = Site::start().await;
    let page = site.server.get("/").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(page.text.contains("href=\"docs\""), "the documents are linked");
    let files = files(&page);
    assert!(files.len() >= 8, "{files:?}");
    for file in &files {
        let answer = packed(&site, file).await.expect(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable", "{file}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let content_type = match file.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(answer.header("content-type"), content_type, "{file}");
        // What fits into a packet is not packed.
        assert!(answer.header("content-encoding") == "gzip" || answer.text.len() < 1_000, "{file}");
    }
}

#[tokio::test]
async fn a_browser_keeps_the_page_until_there_is_another() {
    let site = Site::start().await;
    let page = packed(&site, "/").await.expect(200);
    assert_eq!(page.header("cache-control"), "no-cache");
    let etag = page.header("etag").to_owned();
    let again =
        |etag: String| site.server.request(Method::GET, "/", |request| request.header("if-none-match", etag));
    let same = again(etag.clone()).await.expect(304);
    assert_eq!((same.header("etag"), same.text.as_str()), (etag.as_str(), ""));
    // It counts for the page that the browser has.
    let policy = "content-security-policy";
    assert_eq!(same.header(policy), page.header(policy));
    again("W/\"of another version\"".to_owned()).await.expect(200);

    let page = site.server.get("/").await;
    let file = &files(&page)[0];
    let version = file.split('/').nth(2).unwrap();
    site.server.get(&file.replace(version, "0123456789abcdef")).await.expect(404);
    for path in ["nothing.js", "../mod.rs", "index.html", "uplot/", ""] {
        site.server.get(&format!("/pages/{version}/{path}")).await.expect(404);
    }
}

#[tokio::test]
async fn the_page_is_open_and_what_it_asks_is_not() {
    let site = Site::start().await;
    site.server.keys.learn(StoredKeys { were_made: true, keys: vec![] });
    let page = site.server.get("/").await.expect(200);
    for file in files(&page) {
        site.server.get(&file).await.expect(200);
    }
    site.server.get("/sensors").await.expect(401);
    site.server.post("/", "{}").await.expect(405);
}
