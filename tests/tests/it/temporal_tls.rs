//! Temporal behind TLS, with an API key and with certificates of clients, as Temporal Cloud wants them.

use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sheaf_tests::temporal::server;
use sheaf_tests::{Site, odd};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority, and its certificate for `localhost` or for a client.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, in PEM and as they are.
    fn certificate(&self, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }
}

/// Takes TLS off what comes, and hands it to the server. Without a certificate of this authority's nobody comes through,
/// where one is named.
async fn behind_tls(authority: &Authority, clients: bool, to: String) -> u16 {
    let (certificate, key) = authority.certificate(ExtendedKeyUsagePurpose::ServerAuth);
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder();
    let builder = if clients {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.0.der().to_vec())).expect("an authority");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config =
        builder.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut outside = TcpStream::connect(to).await.expect("the server");
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    port
}

fn configured(temporal: &str) -> String {
    format!("[temporal]\n{temporal}\n\n{}", odd("pages = 1"))
}

/// The worker and the server's part of `sheaf doctor`: whether Temporal was reached.
async fn reached(site: &Site) -> (bool, String) {
    let listed = site.sheaf(&["schedules", "list"]).await;
    (listed.code == 0, format!("{listed:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn temporal_behind_tls_is_reached_with_an_api_key_and_with_certificates() {
    let mut site = Site::new(&configured("")).await.connector("guest_odd");
    let server = server(&mut site).await;
    site.environment.retain(|(name, _)| name != "TEMPORAL_ADDRESS");
    let authority = Authority::new();
    site.write("ca.pem", &authority.pem());
    let ca = site.path("ca.pem").display().to_string();
    site.environment.push(("TEMPORAL_TLS_SERVER_CA_CERT_PATH".into(), ca));
    site.environment.push(("PROBE_KEY".into(), "a-key-for-the-test".into()));
    // An address without a scheme: whoever has a key means encryption.
    let port = behind_tls(&authority, false, server.address.clone()).await;
    let key = "api_key = { env = \"PROBE_KEY\" }";
    site.configure(&configured(&format!("address = \"localhost:{port}\"\n{key}")));
    let (is_reached, said) = reached(&site).await;
    assert!(is_reached, "{said}");
    // A key goes nowhere in the clear.
    site.configure(&configured(&format!("address = \"http://{}\"\n{key}", server.address)));
    let (is_reached, said) = reached(&site).await;
    assert!(!is_reached && said.contains("an API key is not sent to"), "{said}");
    // With certificates of clients: not without one, and with one.
    let port = behind_tls(&authority, true, server.address.clone()).await;
    site.configure(&configured(&format!("address = \"localhost:{port}\"")));
    let (is_reached, said) = reached(&site).await;
    assert!(!is_reached, "{said}");
    let (certificate, key) = authority.certificate(ExtendedKeyUsagePurpose::ClientAuth);
    site.write("client.pem", &certificate.pem());
    site.write("client.key", &key.serialize_pem());
    for (name, file) in [
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "client.pem"),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", "client.key"),
    ] {
        let path = site.path(file).display().to_string();
        site.environment.push((name.into(), path));
    }
    let (is_reached, said) = reached(&site).await;
    assert!(is_reached, "{said}");
    server.stop().await;
}
