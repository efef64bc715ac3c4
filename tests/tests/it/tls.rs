//! Sources over TLS: by a company's own authority, with a client's certificate, over HTTP/2.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use sheaf_tests::Site;
use sheaf_tests::web::Web;

/// An authority of the test's own, what it certified, and a server that wants to see its clients'.
struct Tls {
    ca: String,
    client: String,
    server: ServerConfig,
}

fn tls() -> Tls {
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("signed");
    let certified = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (parameters.signed_by(&key, &ca).expect("signed"), key)
    };
    let (server, server_key) = certified("localhost");
    let (client, client_key) = certified("sheaf");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![server.der().clone()], key)
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Tls {
        ca: ca.pem(),
        client: format!("{}{}", client.pem(), client_key.serialize_pem()),
        server: config,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_trusted_by_the_granted_authority_and_sees_the_granted_certificate() {
    let Tls { ca, client, server } = tls();
    let web = Web::start_tls(server).await;
    let url = format!("https://localhost:{}", web.port);
    let toml = |tls: &str| {
        format!(
            "[connections.evil]\nconnector = \"evil\"\ndatasource = \"evil\"\n\
             settings = {{ misdeed = \"get\", server = \"{url}\", target = \"{url}/version\" }}\n\
             [connections.evil.grants]\nhosts = [\"localhost:{}\"]\n{tls}\n",
            web.port
        )
    };
    let site = Site::new(&toml("")).await.connector("guest_evil");
    site.write("ca.pem", &ca);
    site.write("client.pem", &client);
    site.write("empty.pem", "");
    let ended = site.sheaf(&["sync", "evil", "--local"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("certificate is not trusted"), "{ended:?}");
    assert!(ended.stderr.contains("tls = { ca ="), "{ended:?}");
    insta::assert_snapshot!(ended.told());
    site.configure(&toml("tls = { ca = \"ca.pem\" }"));
    let ended = site.sheaf(&["sync", "evil", "--local"]).await;
    assert_eq!(ended.code, 4, "without a certificate of its own: {ended:?}");
    site.configure(&toml("tls = { ca = \"ca.pem\", client_certificate = \"client.pem\" }"));
    assert_eq!(site.sync("evil", 0).await["documents"], 1);
    let documents = site.glean.documents("evil").await.expect("documents");
    assert!(documents[0].1.contains("HTTP/2.0"), "{documents:?}");
    for (file, what) in [("none.pem", "cannot be used"), ("empty.pem", "there is none in it")] {
        site.configure(&toml(&format!("tls = {{ ca = \"{file}\" }}")));
        let ended = site.sheaf(&["sync", "evil", "--local"]).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(what) && ended.stderr.contains(file), "{ended:?}");
        insta::assert_snapshot!(ended.told());
    }
}
