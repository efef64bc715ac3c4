//! The HTTP connectors in other languages, which authors copy: feeds in Python, sitemaps in JavaScript.

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
        }
        site.configure(&toml.replace(&format!("hosts = [\"{}\"]", web.url()), "hosts = []"));
        let ended = site.sheaf(&["sync", name, "--local"]).await;
        assert_eq!(ended.code, 2, "{name}: {ended:?}");
        let line = format!("hosts = [\"{}\"]", web.url());
        assert!(ended.stderr.contains("the host is not granted"), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&line), "{name}: {ended:?}");
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
