//! The HTTP connectors in other languages, which authors copy: feeds in Python, sitemaps in JavaScript.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::Query;
use axum::routing::get;
use sheaf_tests::Site;
use sheaf_tests::web::Web;

fn feed(web: &Web, more: &str) -> String {
    let url = web.url();
    format!(
        "[connections.blog]\nconnector = \"feed\"\ndatasource = \"blog\"\n\
         settings = {{ feeds = [\"{url}/feed.xml\"], access = \"everyone\", link_hosts = [\"blog.example.com\"] }}\n\
         [connections.blog.grants]\nhosts = [\"{url}\"]\n{more}\n"
    )
}

fn sitemap(web: &Web, more: &str) -> String {
    let url = web.url();
    format!(
        "[connections.site]\nconnector = \"sitemap\"\ndatasource = \"site\"\n\
         settings = {{ sitemap = \"{url}/sitemap.xml\", access = \"everyone\" }}\n\
         [connections.site.grants]\nhosts = [\"{url}\"]\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_read_by_a_connector_in_python() {
    let web = Web::start().await;
    let site = Site::new(&feed(&web, "")).await.connector("feed");
    let result = site.sync("blog", 0).await;
    assert_eq!(
        (&result["outcome"], &result["documents"]),
        (&"complete".into(), &3.into()),
        "{result}"
    );
    let documents = site.glean.documents("blog").await.expect("documents");
    assert!(documents.iter().any(|(_, text)| text.contains("The second entry")), "{documents:?}");
    // Nothing has changed since, and the server says so.
    let ended = site.sheaf(&["sync", "blog", "--local", "--incremental", "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["result"]["documents"], 0, "{ended:?}");
    assert_eq!(ended.json()["result"]["mode"], "incremental", "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sitemap_is_read_by_a_connector_in_javascript() {
    let web = Web::start().await;
    let site = Site::new(&sitemap(&web, "")).await.connector("sitemap");
    let result = site.sync("site", 0).await;
    assert_eq!(
        (&result["outcome"], &result["documents"]),
        (&"complete".into(), &20.into()),
        "{result}"
    );
    let documents = site.glean.documents("site").await.expect("documents");
    assert!(
        documents.iter().any(|(_, text)| text.contains("The title of page 7")),
        "{documents:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_javascript_gives_back_what_it_holds_for_a_request() {
    let web = Web::start().await;
    // Three hundred pages, and fewer handles: not one of each page may stay.
    let limits = "[connections.site.limits]\nhandles = 200\nhost_requests_per_second = 10000.0";
    let toml = sitemap(&web, limits).replace("/sitemap.xml", "/sitemap-long.xml");
    let site = Site::new(&toml).await.connector("sitemap");
    let result = site.sync("site", 0).await;
    assert_eq!(result["documents"], 300, "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_in_other_encodings_are_read_and_an_unknown_one_is_an_error_of_its_feed() {
    let web = Web::start().await;
    let url = web.url();
    let feeds = |names: &[&str]| {
        let urls: Vec<_> = names.iter().map(|name| format!("\"{url}/{name}.xml\"")).collect();
        feed(&web, "").replace(&format!("\"{url}/feed.xml\""), &urls.join(", "))
    };
    let site = Site::new(&feeds(&["feed", "korean"])).await.connector("feed");
    let result = site.sync("blog", 0).await;
    assert_eq!(result["documents"], 4, "{result}");
    let documents = site.glean.documents("blog").await.expect("documents");
    assert!(documents.iter().any(|(_, text)| text.contains("한국어")), "{documents:?}");
    site.configure(&feeds(&["feed", "klingon", "nothing"]));
    let checked = site.sheaf(&["check", "blog"]).await;
    assert_eq!(checked.code, 2, "{checked:?}");
    for part in
        ["klingon.xml is not a feed", "encoding klingon is not known", "nothing.xml answered"]
    {
        assert!(checked.stderr.contains(part), "{checked:?}");
    }
    insta::assert_snapshot!(checked.told());
}

/// Two pages of three entries each, of which the first goes when the second crawl has read the first page.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_go_while_a_feed_is_read_take_no_others_with_them() {
    let entries = Arc::new(Mutex::new(((1..=6).collect::<Vec<u32>>(), 0)));
    let served = entries.clone();
    let entry =
        |number: &u32| format!("<item><link>https://blog.example.com/{number}</link></item>");
    let page = move |Query(query): Query<BTreeMap<String, usize>>| async move {
        let page = query.get("page").copied().unwrap_or(1);
        let (entries, requests) = &mut *served.lock().expect("entries");
        let of_page: String =
            entries.chunks(3).nth(page - 1).unwrap_or_default().iter().map(entry).collect();
        let next = format!("<a:link rel=\"next\" href=\"?page={}\"/>", page + 1);
        let next = if entries.len() > page * 3 { &next } else { "" };
        *requests += usize::from(page == 1);
        if *requests == 3 && page == 1 {
            entries.drain(..1);
        }
        format!(
            "<rss xmlns:a=\"http://www.w3.org/2005/Atom\"><channel>{next}{of_page}</channel></rss>"
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
    let routes = axum::Router::new().route("/feed.xml", get(page));
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
    let web = Web::start().await;
    let site = Site::new(&feed(&web, "").replace(&web.url(), &url)).await.connector("feed");
    // It is read twice, and so six entries are there before the first of them goes.
    site.sync("blog", 0).await;
    assert_eq!(site.ids("blog").await.len(), 6);
    let result = site.sync("blog", 0).await;
    assert_eq!(result["outcome"], "complete", "{result}");
    let living: Vec<_> = entries.lock().expect("entries").0.clone();
    let there = site.ids("blog").await;
    for number in living {
        assert!(there.contains(&format!("https://blog.example.com/{number}")), "{there:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_limits_and_grants_hold_in_each_language() {
    let web = Web::start().await;
    for (name, file, toml) in
        [("blog", "feed", feed(&web, "")), ("site", "sitemap", sitemap(&web, ""))]
    {
        let site = Site::new(&toml).await.connector(file);
        for (change, code, what) in [
            (
                "\n[connections.NAME.limits]\nresponse_bytes = \"200B\"\n",
                1,
                "used up its limit of 200 B in one response",
            ),
            (
                "\n[connections.NAME.limits]\nmemory = \"1 MiB\"\n",
                1,
                "used up its limit of 1.0 MiB of memory",
            ),
        ] {
            site.configure(&format!("{toml}{}", change.replace("NAME", name)));
            let ended = site.sheaf(&["sync", name, "--local"]).await;
            assert_eq!(ended.code, code, "{name}: {ended:?}");
            assert!(ended.stderr.contains(what), "{name}: {ended:?}");
            insta::assert_snapshot!(ended.told());
        }
        site.configure(&toml.replace(&format!("hosts = [\"{}\"]", web.url()), "hosts = []"));
        let ended = site.sheaf(&["sync", name, "--local"]).await;
        assert_eq!(ended.code, 2, "{name}: {ended:?}");
        let line = format!("hosts = [\"{}\"]", web.url());
        assert!(ended.stderr.contains("the host is not granted"), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&line), "{name}: {ended:?}");
        insta::assert_snapshot!(ended.told());
        let explained = site.sheaf(&["check", name, "--url", &web.url()]).await;
        assert_eq!(explained.code, 2, "{explained:?}");
        site.configure(&toml);
        let explained = site.sheaf(&["check", name, "--url", &format!("{}/x", web.url())]).await;
        assert_eq!(explained.code, 0, "{explained:?}");
        assert!(explained.stdout.contains("is granted and asked for"), "{explained:?}");
        let checked = site.sheaf(&["check", name]).await;
        assert!(
            checked.stdout.contains(&format!("asks for {}: granted", web.url())),
            "{checked:?}"
        );
    }
}
